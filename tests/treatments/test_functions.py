"""The formulas of the treatments: closed forms and laws."""

import math

import pytest
import torch
from treated import gaussian

from disentangle.linalg import polar
from disentangle.treatments import nearest_orthogonal_gradient, optimal_learning_rate, orthogonal_loss

# --- nearest orthogonal gradient


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 3, 3, 3), (2, 6, 4, 4), (3, 4, 5)])
@pytest.mark.parametrize("null", ["drop", "fill"])
def test_nog_is_the_polar_factor_of_the_flattened_gradient(shape: tuple[int, ...], null: str) -> None:
    gradient = gaussian(*shape)
    nearest = nearest_orthogonal_gradient(gradient, null)
    left, _, right = torch.linalg.svd(gradient.reshape(shape[0], -1), full_matrices=False)
    assert nearest.shape == gradient.shape
    torch.testing.assert_close(nearest.reshape(shape[0], -1), left @ right, rtol=0, atol=1e-12)


def test_nog_is_the_nearest_of_the_orthogonal_matrices() -> None:
    gradient = gaussian(3, 5)
    nearest = nearest_orthogonal_gradient(gradient)
    for seed in range(200):  # near ones and far ones
        other = polar(nearest + 10 ** -(seed % 4) * gaussian(3, 5, seed=seed))
        assert (nearest - gradient).norm() <= (other - gradient).norm()


@pytest.mark.parametrize(("null", "rank"), [("drop", 2), ("fill", 27)])
def test_nog_of_a_gradient_of_rank_two(null: str, rank: int) -> None:
    gradient = (gaussian(64, 2) @ gaussian(2, 27)).float().reshape(64, 3, 3, 3)
    nearest = nearest_orthogonal_gradient(gradient, null)
    assert nearest.dtype == torch.float32
    sigma = torch.linalg.svdvals(nearest.reshape(64, 27))
    torch.testing.assert_close(sigma, (torch.arange(27) < rank).float(), rtol=0, atol=1e-5)


def test_nog_takes_a_tolerance_for_gradients_rounded_to_bfloat16() -> None:
    gradient = (gaussian(6, 2) @ gaussian(2, 200)).bfloat16().float()
    assert nearest_orthogonal_gradient(gradient).square().sum().round() == 6
    assert nearest_orthogonal_gradient(gradient, rtol=2e-2).square().sum().round() == 2


def test_nog_of_zero_is_zero() -> None:
    assert torch.equal(nearest_orthogonal_gradient(torch.zeros(3, 8)), torch.zeros(3, 8))


def test_nog_refuses_what_is_no_tensor() -> None:
    with pytest.raises(TypeError, match=r"gradient must be a torch\.Tensor, got ndarray"):
        nearest_orthogonal_gradient(torch.ones(3, 3).numpy())


def test_nog_refuses_a_vector() -> None:
    with pytest.raises(ValueError, match="at least two dimensions"):
        nearest_orthogonal_gradient(torch.ones(3))


# --- optimal learning rate


def test_olr_is_the_published_formula_and_its_cosine_form() -> None:
    for seed in range(20):
        w, g = gaussian(3, 4, 2, 2, seed=seed), gaussian(3, 4, 2, 2, seed=100 + seed)
        ww, lw, ll = (w * w).sum(), (g * w).sum(), (g * g).sum()
        c = lw / (ww * ll).sqrt()
        rate = optimal_learning_rate(w, g)
        assert rate.shape == ()
        torch.testing.assert_close(rate, ww * lw / (ww * ll + 2 * lw**2), rtol=1e-13, atol=0)
        torch.testing.assert_close(rate, w.norm() / g.norm() * c / (1 + 2 * c**2), rtol=1e-13, atol=0)
        assert rate <= w.norm() / g.norm() / math.sqrt(8)


def test_olr_by_hand() -> None:
    w = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert optimal_learning_rate(w, w) == pytest.approx(1 / 3, rel=1e-15)  # 25·25 / (25·25 + 2·25²)
    assert optimal_learning_rate(w, -2 * w) == pytest.approx(-1 / 6, rel=1e-15)
    assert optimal_learning_rate(w, w.flip(0)) == 0  # at right angles


def test_olr_is_the_newton_step_on_the_distance_from_orthogonality() -> None:
    # ‖(w − ηl)(w − ηl)ᵀ − I‖² without η³, η⁴ and the terms of −I, which the paper drops too
    w, gradient = gaussian(40, seed=1), gaussian(40, seed=2)
    rate = torch.zeros((), dtype=torch.float64, requires_grad=True)
    moved = w - rate * gradient
    (first,) = torch.autograd.grad(torch.outer(moved, moved).square().sum(), rate, create_graph=True)
    (second,) = torch.autograd.grad(first, rate)
    torch.testing.assert_close(optimal_learning_rate(w, gradient), (-first / second).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_olr_of_nothing_is_zero_and_of_extremes_is_finite(dtype: torch.dtype) -> None:
    w, zero = torch.ones(3, 4, dtype=dtype), torch.zeros(3, 4, dtype=dtype)
    for weight, gradient in ((w, zero), (zero, w), (zero, zero)):
        assert optimal_learning_rate(weight, gradient) == 0
    assert optimal_learning_rate(1e30 * w, 1e-30 * w) == pytest.approx(1e60 / 3, rel=2e-2)
    assert optimal_learning_rate(w, w).dtype == torch.float64


@pytest.mark.parametrize(("w_size", "g_size"), [(1e200, 1e200), (1e-200, 1e-200), (1e200, 1e-100), (1e-300, 1e-5)])
def test_olr_neither_overflows_nor_underflows(w_size: float, g_size: float) -> None:
    w, g = gaussian(4, 5), gaussian(4, 5, seed=1)
    rate = optimal_learning_rate(w_size * w, g_size * g)
    expected = float(optimal_learning_rate(w, g)) * w_size / g_size
    assert float(rate) == pytest.approx(expected, rel=1e-13)


def test_olr_that_no_number_can_hold_is_infinite_or_zero_and_of_nonsense_is_nan() -> None:
    w, g = gaussian(4, 5), gaussian(4, 5, seed=1)
    sign = float(optimal_learning_rate(w, g).sign())
    assert optimal_learning_rate(1e200 * w, 1e-200 * g) == sign * math.inf
    assert optimal_learning_rate(1e-200 * w, 1e200 * g) == 0
    assert optimal_learning_rate(torch.ones(0, 3), torch.ones(0, 3)) == 0
    for bad in (math.nan, math.inf):
        for weight, gradient in ((bad * w, g), (w, bad * g), (0 * w, bad * g)):
            assert optimal_learning_rate(weight, gradient).isnan()


def test_olr_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\), \(4, 3\)"):
        optimal_learning_rate(torch.ones(3, 4), torch.ones(4, 3))


# --- orthogonal loss


def test_ol_by_hand() -> None:
    w = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0]])  # W Wᵀ − I = [[3, 2], [2, 1]]
    assert orthogonal_loss(w) == (9 + 4 + 4 + 1) / 4
    assert orthogonal_loss(w.T) == (9 + 4 + 4 + 1) / 4
    assert orthogonal_loss(w.reshape(2, 3, 1, 1)) == (9 + 4 + 4 + 1) / 4


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (4, 4)])
def test_ol_is_zero_only_at_orthogonal_weights_and_has_the_closed_form_gradient(shape: tuple[int, int]) -> None:
    assert orthogonal_loss(polar(gaussian(*shape))) < 1e-28
    w = gaussian(*shape).requires_grad_()
    (gradient,) = torch.autograd.grad(orthogonal_loss(w), w)
    q = min(shape)
    wide = w.detach() if shape[0] <= shape[1] else w.detach().T
    expected = 4 / q**2 * (wide @ wide.T - torch.eye(q, dtype=w.dtype)) @ wide
    torch.testing.assert_close(gradient, expected if shape[0] <= shape[1] else expected.T, rtol=1e-12, atol=1e-12)


def test_ol_is_computed_in_float32_under_autocast() -> None:
    w = gaussian(6, 100).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(orthogonal_loss(w), orthogonal_loss(w.clone()))
        inside = orthogonal_loss(w)
    assert torch.equal(inside, orthogonal_loss(w))
    assert orthogonal_loss(w.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ol_of_a_tiny_weight_is_that_of_zero_and_of_a_huge_one_an_error(dtype: torch.dtype) -> None:
    size = 1e-200 if dtype == torch.float64 else 1e-40
    assert orthogonal_loss((size * gaussian(4, 6)).to(dtype)) == 1 / 4
    for weight in ((gaussian(4, 6) / size).to(dtype), torch.ones(2, 3, dtype=dtype) * 1e300):
        with pytest.raises(ValueError, match=r"weight with entries up to .* is not finite"):
            orthogonal_loss(weight)
    with pytest.raises(ValueError, match="up to nan is not finite"):
        orthogonal_loss(torch.full((2, 3), math.nan, dtype=dtype))


def test_ol_refuses_in_words() -> None:
    with pytest.raises(ValueError, match="at least two dimensions"):
        orthogonal_loss(torch.ones(3))
    with pytest.raises(ValueError, match="no entries"):
        orthogonal_loss(torch.ones(0, 3))
