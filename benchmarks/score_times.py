"""Processor time of every score of codes at the published sizes; prints a table in markdown.

Run: ``OMP_NUM_THREADS=1 python benchmarks/score_times.py``
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

from disentangle import metrics
from disentangle.errors import DisentangleWarning

SIZES = (3, 6, 40, 32, 32)
"""dSprites' factors."""

TRAIN, TEST, CODES = 10_000, 5_000, 10


def codes_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and factors: half of the codes know a factor each, with noise; or all are rotated."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, TRAIN + TEST) for size in SIZES], axis=1)
    own = factors + rng.standard_normal(factors.shape)
    codes = np.column_stack([own, rng.standard_normal((len(factors), CODES - len(SIZES)))])
    return (metrics.rotated(codes) if kind == "rotated" else codes), factors


def scores(kind: str) -> dict[str, Callable[[], metrics.CodeScore]]:
    """Name -> what computes the score."""
    codes, factors = codes_of(kind)
    train, split = (codes[:TRAIN], factors[:TRAIN]), (codes[:TRAIN], factors[:TRAIN], codes[TRAIN:], factors[TRAIN:])
    rows = metrics.Rows(*train)
    return {
        "MIG": lambda: metrics.mig(*train),
        "MIG-sup": lambda: metrics.mig_sup(*train),
        "JEMMIG": lambda: metrics.jemmig(*train),
        "DCIMIG": lambda: metrics.dcimig(*train),
        "DCI": lambda: metrics.dci(*split),
        "SAP": lambda: metrics.sap(*split),
        "modularity": lambda: metrics.modularity(*train),
        "explicitness": lambda: metrics.explicitness(*split),
        "IRS": lambda: metrics.irs(*train),
        "InfoMEC": lambda: metrics.infomec(*train),
        "β-VAE score": lambda: metrics.beta_vae_score(rows),
        "FactorVAE score": lambda: metrics.factor_vae_score(rows),
    }


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore", DisentangleWarning)
    kinds = ("noisy", "rotated")
    rows: dict[str, list[str]] = {}
    totals = []
    for kind in kinds:
        total = 0.0
        for name, compute in scores(kind).items():
            start = time.process_time()
            score = compute().score
            seconds = time.process_time() - start
            total += seconds
            rows.setdefault(name, []).extend([f"{score:.3f}", f"{seconds:.2f} s"])
        totals.append(total)
    sys.stdout.write(f"| score | {' | '.join(f'{kind} codes | time' for kind in kinds)} |\n|---|---|---|---|---|\n")
    for name, cells in rows.items():
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
    sys.stdout.write(f"| all | {' | '.join(f'| {total:.1f} s' for total in totals)} |\n")


if __name__ == "__main__":
    main()
