"""The published backward passes: right where they answer, an error where they would be wrong."""

import pytest
import torch
from matrices import assert_close, gaussian, orthogonal, with_spectrum
from torch import Tensor

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt
from disentangle.linalg.lyapunov import solve_lyapunov

ROOTS = [matrix_sqrt, matrix_inverse_sqrt]
MISSED = 'published backward pass of method="{}" missed the gradient.*use backward="exact"'


def gradient(root, a: Tensor, direction: Tensor, method: str, backward: str) -> Tensor:
    x = a.clone().requires_grad_()
    return torch.autograd.grad(root(x, method, backward=backward), x, direction)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("root", ROOTS)
def test_automatic_differentiation_through_eigh_is_right_at_distinct_eigenvalues_only(root, dtype: torch.dtype) -> None:
    direction = gaussian(4, 4)
    for gap, fits in ((0.1, True), (1e-2, True), (1e-13, False), (0.0, False)):
        a = with_spectrum([1.0, 1.0 + gap, 2.0, 3.0]).to(dtype) if gap else torch.eye(4, dtype=dtype)
        a = (a + a.mT) / 2
        exact = gradient(root, a, direction.to(dtype), "eigh", "exact")
        assert torch.isfinite(exact).all()
        if fits:
            published = gradient(root, a, direction.to(dtype), "eigh", "published")
            assert_close(published, exact, 100 * torch.finfo(dtype).eps / gap)
        elif dtype == torch.float64 or gap == 0:
            with pytest.raises(ValueError, match=MISSED.format("eigh")):
                gradient(root, a, direction.to(dtype), "eigh", "published")


@pytest.mark.parametrize("root", ROOTS)
def test_the_exact_gradient_needs_no_remedy_where_autograd_through_svd_fails(root) -> None:
    # equal eigenvalues, and equal but for rounding: the remedies for the SVD's gradient are for these
    for values in ([1.0, 1.0, 1.0, 2.0], [1.0, 1.0 + 1e-14, 1.0 - 1e-14, 2.0]):
        q, direction = orthogonal(4, seed=2), gaussian(4, 4, seed=3)
        direction = direction + direction.mT
        a = torch.diag(torch.tensor(values, dtype=torch.float64))  # a rotation would round the eigenvalues apart
        naive = a.clone().requires_grad_()
        left, sigma, right = torch.linalg.svd(naive)
        ((left * sigma ** (0.5 if root is matrix_sqrt else -0.5)) @ right * direction).sum().backward()
        s = torch.tensor(values, dtype=torch.float64).sqrt()
        divided = 1 / (s[:, None] + s[None, :])  # Daleckii and Krein, in the eigenbasis, which here is known
        expected = direction * (divided if root is matrix_sqrt else -divided / (s[:, None] * s[None, :]))
        assert naive.grad is not None
        error = (naive.grad - expected).abs().max()
        assert not error < 1e-3  # NaN, or huge
        assert_close(gradient(root, a, direction, "eigh", "exact"), expected, 1e-13)
        turned = gradient(root, q @ a @ q.mT, q @ direction @ q.mT, "eigh", "exact")
        assert_close(turned, q @ expected @ q.mT, 1e-13)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_the_lyapunov_iteration_solves_the_equation(n: int) -> None:
    b, x = with_spectrum(torch.linspace(1, 1.5, n)), gaussian(3, n, n)
    x = x + x.mT
    assert_close(solve_lyapunov(b, b @ x + x @ b), x, 1e-6)


def test_the_lyapunov_iteration_has_eight_steps_and_their_error() -> None:
    # On a multiple of the identity the blocks are numbers, and b starts at 1/√n.
    n = 100
    b, c = n**-0.5, 1.0
    for _ in range(8):
        b, c = 0.5 * b * (3 - b * b), 0.5 * c * (3 - b * b)
    direction = gaussian(n, n)
    direction = direction + direction.mT
    got = solve_lyapunov(5 * torch.eye(n, dtype=torch.float64), direction)
    assert_close(got, direction / (5 * n**0.5) * c / 2, 1e-12)
    assert 1e-3 < 1 - c / n**0.5 < 0.5  # the solution is direction / 10: eight steps are not enough here


@pytest.mark.parametrize("method", ["taylor", "pade"])
@pytest.mark.parametrize("root", ROOTS)
def test_a_lyapunov_equation_beyond_eight_steps_is_an_error(root, method: str, monkeypatch) -> None:
    monkeypatch.setattr("disentangle.linalg.lyapunov.STEPS", 3)
    a = with_spectrum([1.0, 1.0, 1.0, 0.8])
    with pytest.raises(ValueError, match=MISSED.format(method)):
        gradient(root, a, gaussian(4, 4), method, "published")
    assert torch.isfinite(gradient(root, a, gaussian(4, 4), method, "exact")).all()


@pytest.mark.parametrize("method", ["eigh", "newton_schulz", "taylor", "pade"])
@pytest.mark.parametrize("root", ROOTS)
def test_a_gradient_that_overflowed_passes_through(root, method: str) -> None:
    # as mixed precision makes them, to skip the step: no reason to stop a training
    a = with_spectrum([1.0, 0.9, 0.8])
    for bad in (torch.inf, torch.nan):
        for backward in ("exact", "published"):
            got = gradient(root, a, torch.full_like(a, bad), method, backward)
            assert not torch.isfinite(got).any()


@pytest.mark.parametrize("method", ["eigh", "newton_schulz", "taylor", "pade"])
def test_no_gradient_gives_none(method: str) -> None:
    a = with_spectrum([1.0, 0.9, 0.8])
    assert torch.equal(gradient(matrix_sqrt, a, torch.zeros_like(a), method, "published"), torch.zeros_like(a))


def test_the_gradient_through_eigh_is_never_differentiated_in_silence() -> None:
    a = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match='use backward="exact"'):
        torch.autograd.grad(matrix_sqrt(a, "eigh", backward="published").sum(), a, create_graph=True)
