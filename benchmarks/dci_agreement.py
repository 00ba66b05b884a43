"""How far DCI of the fast learner is from DCI of the published one: the tables of docs/results/dci.md.

    OMP_NUM_THREADS=1 python benchmarks/dci_agreement.py
    OMP_NUM_THREADS=1 python benchmarks/dci_agreement.py --sizes 3 6 40 32 32 --kinds "blurred by 0.3, beside noise"
    OMP_NUM_THREADS=1 python benchmarks/dci_agreement.py --codes codes.npy --factors factors.npy    # of a model

The last reads `(N, d)` codes and `(N, k)` factors, learns from the first `--samples` of them and tests on the next
`--test`. The published learner takes 5 minutes for all kinds, and 10 for one of `--samples 10000` and these sizes.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from disentangle.errors import DisentangleWarning
from disentangle.metrics import dci

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HEAD = "| codes | D | C | informativeness | importance, at most | seconds |\n|---|---|---|---|---|---|\n"


def draw(samples: int, sizes: list[int]) -> Integers:
    """Independent, uniform factors."""
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, samples) for size in sizes], axis=1)


def turn(codes: Floats) -> Floats:
    """The same codes in another basis."""
    q, r = np.linalg.qr(np.random.default_rng(7).standard_normal((codes.shape[1],) * 2))
    turned: Floats = codes @ (q * np.sign(np.diag(r)))
    return turned


def kinds(factors: Integers) -> dict[str, Floats]:
    """Codes of every kind, twice as many as factors. Their order decides what the generator draws: add to its end."""
    rng = np.random.default_rng(1)
    n, k = factors.shape
    z = (factors - factors.mean(axis=0)) / factors.std(axis=0)

    def noise(columns: int = k) -> Floats:
        return rng.standard_normal((n, columns))

    both = np.hstack([z, noise()])
    made = {
        "perfect, half dead": np.hstack([z, np.zeros((n, k))]),
        "perfect beside noise": both,
        "blurred by 0.1, beside noise": np.hstack([z + 0.1 * noise(), noise()]),
        "blurred by 0.3, beside noise": np.hstack([z + 0.3 * noise(), noise()]),
        "blurred by 1, beside noise": np.hstack([z + noise(), noise()]),
        "rotated together with noise": turn(both),
        "rotated, half dead": np.hstack([turn(z), np.zeros((n, k))]),
        "rotated, half nearly dead": np.hstack([turn(z) + 0.1 * noise(), 0.01 * noise()]),
        "two apart, the others rotated": np.hstack(
            [z[:, :2] + 0.2 * noise(2), turn(z[:, 2:]) + 0.1 * noise(k - 2), noise()]
        ),
        "few levels": np.hstack([np.round(z * 1.5), np.round(2 * turn(both)[:, :k])]),
        "nonlinear mixtures": np.hstack([np.sin(2 * turn(z)), np.tanh(z) * (1 + 0.3 * noise())]),
        "every code twice": np.hstack([z, z]),
    }
    blurred = z + 0.3 * noise()
    made["every code and its negative"] = np.hstack([blurred, -blurred])
    made["noise only"] = noise(2 * k)
    made["leaking into one another"] = np.hstack([z + 0.3 * turn(z), 0.3 * z[:, ::-1] + noise()])
    return made


def row(name: str, codes: Floats, factors: Integers, train: int, test: int) -> str:
    """A line of the table: the published numbers, and by how much those of the fast learner are higher."""
    parts = codes[:train], factors[:train], codes[train : train + test], factors[train : train + test]
    results, seconds = [], []
    for learner in ("gbt", "fast"):
        start = time.process_time()
        results.append(dci(*parts, learner=learner))
        seconds.append(time.process_time() - start)
    published, fast = results
    cells = [
        f"{getattr(published, part):.3f} {getattr(fast, part) - getattr(published, part):+.3f}"
        for part in ("disentanglement", "completeness", "informativeness")
    ]
    apart = np.abs(fast.importance - published.importance).max()
    return f"| {name} | {' | '.join(cells)} | {apart:.3f} | {seconds[0]:.1f} against {seconds[1]:.1f} |\n"


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    train, test = arguments.samples, arguments.test
    if arguments.codes:
        codes, factors = np.load(arguments.codes), np.load(arguments.factors)
        yield row(arguments.codes.stem, codes, factors, train, test)
        return
    factors = draw(train + test, arguments.sizes)
    made = kinds(factors)
    for name in arguments.kinds or made:
        yield row(name, made[name], factors, train, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000, help="to learn from")
    parser.add_argument("--test", type=int, default=1000, help="to test on")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 6, 12, 2], help="how many values factors take")
    parser.add_argument("--kinds", nargs="+", choices=list(kinds(draw(9, [3, 6, 12, 2]))), help="all, if not given")
    parser.add_argument("--codes", type=Path)
    parser.add_argument("--factors", type=Path)
    arguments = parser.parse_args()
    if (arguments.codes is None) != (arguments.factors is None):
        parser.error("--codes and --factors go together")
    warnings.simplefilter("ignore", DisentangleWarning)
    sys.stdout.write(HEAD)
    for line in rows(arguments):
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
