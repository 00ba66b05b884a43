"""Speed of the SVD meta-layer, as ratios in one run: ours and the reference take turns, so that both see the same load.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/test_linalg.py

The table's times are ours, the ratio to the reference stands in ``extra_info`` (``--benchmark-json=FILE``). A ratio
below a floor fails. What was measured, and on what, stands in docs/results/linalg.md.
"""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from disentangle.linalg import matrix_inverse_sqrt, polar
from disentangle.treatments import nearest_orthogonal_gradient


def times_faster(ours: Callable[[], object], reference: Callable[[], object], rounds: int) -> float:
    """The reference's least time over ours: the least is what other work on the machine disturbs least."""
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, function in enumerate((ours, reference)):
            start = time.perf_counter()
            function()
            least[index] = min(least[index], time.perf_counter() - start)
    return least[1] / least[0]


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def svd_polar(g: Tensor) -> Tensor:
    """The published way: a singular value decomposition in the gradient's own float32."""
    left, _, right = torch.linalg.svd(g, full_matrices=False)
    return left @ right


def svd_inverse_sqrt(a: Tensor) -> Tensor:
    """The way without this module: automatic differentiation through a singular value decomposition."""
    left, sigma, right = torch.linalg.svd(a)
    return (left * sigma.rsqrt()[..., None, :]) @ right


@pytest.mark.parametrize("features", [8192, 16384, 65536])
def test_nog_of_a_wide_basis(benchmark, features: int) -> None:
    gradient = gaussian(6, features)
    ratio = times_faster(lambda: nearest_orthogonal_gradient(gradient), lambda: svd_polar(gradient), 50)
    benchmark.extra_info["times faster than svd"] = round(ratio, 2)
    benchmark.pedantic(nearest_orthogonal_gradient, (gradient,), rounds=20, warmup_rounds=2)
    assert ratio > 1.2, f"{ratio:.2f} times as fast as a float32 SVD"


@pytest.mark.parametrize("shape", [(64, 27), (64, 576), (256, 2304)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_default_polar_method_of_a_convolution(benchmark, shape: tuple[int, int], dtype: torch.dtype) -> None:
    g = gaussian(*shape).to(dtype)
    ratio = times_faster(lambda: polar(g), lambda: polar(g, "svd"), 30 if max(shape) < 1000 else 8)
    benchmark.extra_info["times faster than method='svd'"] = round(ratio, 2)
    benchmark.pedantic(polar, (g,), rounds=5, warmup_rounds=1)
    assert ratio > 0.8, f"{ratio:.2f} times as fast as method='svd'"


@pytest.mark.parametrize("n", [16, 64, 256])
@pytest.mark.parametrize("batch", [1, 16])
def test_inverse_sqrt_forward_and_backward(benchmark, n: int, batch: int) -> None:
    floor = 2.0 if (n, batch) == (64, 16) else 1.0
    x = gaussian(batch, n, 4 * n)
    a = (x @ x.mT / (4 * n)).requires_grad_()
    direction = gaussian(n, n)

    def run(function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.autograd.grad((function(a) * direction).sum(), a)[0]

    rounds = {(16, 1): 2000, (16, 16): 1000, (64, 1): 1000, (64, 16): 300, (256, 1): 100, (256, 16): 8}[n, batch]
    ratio = times_faster(lambda: run(matrix_inverse_sqrt), lambda: run(svd_inverse_sqrt), rounds)
    benchmark.extra_info["times faster than svd"] = round(ratio, 2)
    benchmark.pedantic(run, (matrix_inverse_sqrt,), rounds=5, warmup_rounds=1)
    assert ratio >= floor, f"{ratio:.2f} times as fast as automatic differentiation through svd"
