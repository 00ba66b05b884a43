"""What InfoMEC says of codes that know nothing: independent normal ones, on dSprites' factors.

    OMP_NUM_THREADS=1 python benchmarks/noise_scores.py

Prints the mean, least and greatest modularity and compactness over seeds, for several numbers of codes.
"""

import argparse
import sys
import warnings

import numpy as np

from disentangle.errors import DisentangleWarning
from disentangle.metrics import infomec, noise

SIZES = (3, 6, 40, 32, 32)


def main() -> None:
    """Draw, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--codes", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore", DisentangleWarning)  # it warns of such codes
    for count in args.codes:
        found = []
        for seed in range(args.seeds):
            rng = np.random.default_rng(100 + seed)
            factors = np.stack([rng.integers(0, size, args.samples) for size in SIZES], axis=1)
            result = infomec(noise(args.samples, count, seed), factors, explicitness=False)
            found.append((result.modularity, result.compactness))
        for name, values in zip(("modularity", "compactness"), np.transpose(found), strict=True):
            ends = f"{values.min():.2f} to {values.max():.2f}"
            sys.stdout.write(f"{count:3d} codes: {name:11} {values.mean():.2f} ({ends})\n")


if __name__ == "__main__":
    main()
