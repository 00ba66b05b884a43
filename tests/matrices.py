"""Matrices for the tests of linear algebra, and how close results have to be."""

import torch
from torch import Tensor


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def orthogonal(n: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(gaussian(n, n, seed=seed)).Q


def with_spectrum(values: list[float] | Tensor, seed: int = 0) -> Tensor:
    values = torch.as_tensor(values, dtype=torch.float64)
    q = orthogonal(len(values), seed)
    a = (q * values) @ q.mT
    return (a + a.mT) / 2


def spd(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A random positive definite matrix of moderate condition."""
    x = gaussian(*shape[:-1], 2 * shape[-1], seed=seed)
    return (x @ x.mT / (2 * shape[-1])).to(dtype)


def assert_close(got: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Within ``tolerance`` of the largest entry."""
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()
