"""Accuracy and time of every method of `disentangle.linalg`, the tables of docs/results/linalg.md, and from both what
``method="auto"`` should be, the constants of disentangle/linalg/auto.py.

    OMP_NUM_THREADS=1 python benchmarks/linalg_methods.py [cuda]
"""

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable

import mpmath
import torch
from torch import Tensor

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt, polar

METHODS = ("eigh", "newton_schulz", "pade", "taylor")
POLAR_METHODS = ("svd", "gram", "newton_schulz", "polar_express")
ROOTS = {"√A": matrix_sqrt, "A^(-1/2)": matrix_inverse_sqrt}
KAPPAS = {
    torch.float32: (1, 3, 10, 1e2, 1e3, 1e4, 1e5, 1e6),
    torch.float64: (1, 10, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12),
}


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [[str(cell) for cell in row] for row in rows]
    head = [str(cell) for cell in head]
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines)) + "\n"


def conditioned(kappa: float, n: int, dtype: torch.dtype, device: str) -> Tensor:
    """A matrix with eigenvalues evenly spaced in their logarithm."""
    vectors = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)).Q
    a = ((vectors * torch.logspace(0, -math.log10(kappa), n, dtype=torch.float64)) @ vectors.mT).to(device, dtype)
    return (a + a.mT) / 2


def reference(a: Tensor, g: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """The root and its gradient in 50 digits, by eigenvalues and Daleckii and Krein's formula."""
    with mpmath.workdps(50):
        values, vectors = mpmath.eigsy(mpmath.matrix(a.double().tolist()))
        n, s = len(values), [mpmath.sqrt(value) for value in values]
        inner = vectors.T * mpmath.matrix(((g + g.mT) / 2).tolist()) * vectors
        for i, j in itertools.product(range(n), repeat=2):
            inner[i, j] /= -s[i] * s[j] * (s[i] + s[j]) if inverse else s[i] + s[j]
        root = vectors * mpmath.diag([1 / r if inverse else r for r in s]) * vectors.T
        gradient = vectors * inner * vectors.T
        result = [
            torch.tensor([[float(m[i, j]) for j in range(n)] for i in range(n)], dtype=torch.float64).to(a.device)
            for m in (root, gradient)
        ]
    return result[0], result[1]


def errors(
    root: Callable[..., Tensor], method: str, backward: str, a: Tensor, g: Tensor, truth: tuple[Tensor, Tensor]
) -> tuple[float, float] | None:
    """Relative errors of the root and of its gradient; none if it is refused."""
    x = a.clone().requires_grad_()
    try:
        result = root(x, method, backward=backward)
        (gradient,) = torch.autograd.grad(result, x, g.to(a.dtype))
    except ValueError:
        return None
    found = zip((result.detach(), gradient), truth)
    first, second = (float((got.double() - want).norm() / want.norm()) for got, want in found)
    return first, second


def singular_is_refused(method: str, dtype: torch.dtype, device: str) -> bool:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    try:
        matrix_sqrt(x @ x.mT, method)
    except ValueError:
        return True
    return False


def accuracy(device: str, n: int) -> tuple[str, set[str]]:
    """The table, and the methods that answer wherever eigh does, with no more than twice its error."""
    text = ""
    good = {m for m in METHODS if not any(singular_is_refused(m, dtype, device) for dtype in KAPPAS)}
    for dtype, (name, root) in itertools.product(KAPPAS, ROOTS.items()):
        rows = {(method, backward): [] for method in METHODS for backward in ("exact", "published")}
        for kappa in KAPPAS[dtype]:
            a = conditioned(kappa, n, dtype, device)
            g = torch.randn(n, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device)
            truth = reference(a, g, root is matrix_inverse_sqrt)
            best = errors(root, "eigh", "exact", a, g, truth)
            for (method, backward), row in rows.items():
                found = errors(root, method, backward, a, g, truth)
                row.append("refused" if found is None else f"{found[0]:.0e}, {found[1]:.0e}")
                if backward == "exact" and best is not None:
                    floor = 10 * torch.finfo(dtype).eps
                    if found is None or any(f > 2 * b + floor for f, b in zip(found, best)):
                        good.discard(method)
        text += f"{name}, {str(dtype).removeprefix('torch.')}, n = {n}: error of the value, of the gradient\n\n"
        text += table(
            ("method", "backward", *(f"κ = {k:.0e}" for k in KAPPAS[dtype])),
            ((*key, *row) for key, row in rows.items()),
        )
    return text, good


def least_times(functions: list[Callable[[], object]], device: str, seconds: float) -> list[float]:
    """The least time of each in seconds, taking turns, so that all see the same load of the machine."""
    least = [math.inf] * len(functions)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or math.inf in least:
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            if device != "cpu":
                torch.accelerator.synchronize()
            least[index] = min(least[index], time.perf_counter() - start)
    return least


def covariance(batch: int, n: int, device: str) -> Tensor:
    x = torch.randn(batch, n, 4 * n, generator=torch.Generator().manual_seed(0)).to(device)
    return x @ x.mT / (4 * n)


def root_times(device: str, seconds: float) -> tuple[str, dict[int, dict[str, float]]]:
    """The table of times, and the sums over batch sizes for each n, in units of the time of eigh."""
    rows, relative = [], {}
    variants = [(method, backward) for method in METHODS for backward in ("exact", "published")]
    for n, batch in itertools.product((16, 64, 256), (1, 16)):
        ridge = n**0.5  # so large that every method answers
        a = covariance(batch, n, device).requires_grad_()

        def step(method: str, backward: str, a: Tensor = a, ridge: float = ridge) -> Tensor:
            root = matrix_inverse_sqrt(a, method, eps=ridge, backward=backward)
            return torch.autograd.grad(root.sum(), a)[0]

        usable = []
        for variant in variants:
            try:
                step(*variant)
                usable.append(variant)
            except ValueError:
                continue
        found = dict(zip(usable, least_times([lambda v=v: step(*v) for v in usable], device, seconds)))
        base = found["eigh", "exact"]
        rows.append((n, batch, *(f"{1e3 * found[v]:.2f}" if v in found else "refused" for v in variants)))
        for method in METHODS:
            if (method, "exact") in found:
                relative.setdefault(n, {}).setdefault(method, 0.0)
                relative[n][method] += found[method, "exact"] / base
    head = ("n", "batch", *(f"{method}, {backward}" for method, backward in variants))
    return table(head, rows), relative


def polar_times(device: str, seconds: float) -> str:
    rows = []
    for shape, dtype in itertools.product(((64, 64), (64, 576), (256, 2304)), (torch.float32, torch.float64)):
        g = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        if shape[0] == shape[1]:
            g = g + 16 * torch.eye(shape[0], dtype=dtype, device=device)  # well conditioned, for the iterations
        found = least_times([lambda m=m, g=g: polar(g, m) for m in POLAR_METHODS], device, seconds)
        reference = polar(g.double(), "svd")
        misses = [float((polar(g, m).double() - reference).abs().max()) for m in POLAR_METHODS]
        cells = (f"{1e3 * t:.2f}, {miss:.0e}" for t, miss in zip(found, misses))
        rows.append((f"{shape[0]} × {shape[1]}", str(dtype).removeprefix("torch."), *cells))
    return table(("shape", "dtype", *POLAR_METHODS), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row of times")
    arguments = parser.parse_args()
    errors_table, good = accuracy(arguments.device, 8)
    times, relative = root_times(arguments.device, arguments.seconds)
    chosen = {n: min(good & found.keys(), key=lambda m, found=found: found[m]) for n, found in relative.items()}
    sys.stdout.write(
        f"{errors_table}A^(-1/2) forward and backward, float32, milliseconds\n\n{times}"
        f"Polar factor: milliseconds, largest error\n\n{polar_times(arguments.device, arguments.seconds)}"
        f"As accurate as eigh wherever eigh answers: {', '.join(sorted(good))}\n"
        f"auto on {arguments.device}: {', '.join(f'n = {n}: {method}' for n, method in chosen.items())}\n"
    )


if __name__ == "__main__":
    main()
