"""Laws that hold for every method of the square root and the inverse square root."""

import itertools
import math

import pytest
import torch
from matrices import assert_close, gaussian, orthogonal, spd, with_spectrum
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt
from disentangle.linalg.approximate import LIMITS

METHODS = ["auto", "eigh", "newton_schulz", "taylor", "pade"]
EXACT = ["auto", "eigh", "newton_schulz"]
ROOTS = [matrix_sqrt, matrix_inverse_sqrt]
BACKWARDS = ["exact", "published"]
# ‖A‖ / λ_min up to which the docstrings promise a result, and from which on even one such eigenvalue is an error
SURE = {("taylor", 0.5): 4.9, ("taylor", -0.5): 4.6, ("pade", 0.5): 9.0, ("pade", -0.5): 9.2}
NEVER = {("taylor", 0.5): 12, ("taylor", -0.5): 9, ("pade", 0.5): 27, ("pade", -0.5): 19}


def power(root) -> float:
    return 0.5 if root is matrix_sqrt else -0.5


def promised(method: str, root, dtype: torch.dtype) -> float:
    """The ‖A‖ / λ_min up to which there has to be a result."""
    if method in ("auto", "eigh"):
        return math.inf
    if method == "newton_schulz":
        decades = (12, 6) if root is matrix_sqrt else (10, 5)
        return 10.0 ** decades[dtype == torch.float32]
    return SURE[method, power(root)]


def documented(a: Tensor, result: Tensor, root) -> Tensor:
    """What the docstrings bound: ‖Y² − A‖₂ / ‖A‖, or ‖Z A Z − I‖₂."""
    if root is matrix_sqrt:
        return torch.linalg.matrix_norm(result @ result - a, 2) / a.norm()
    return torch.linalg.matrix_norm(result @ a @ result - torch.eye(len(a), dtype=a.dtype), 2)


def gentle(*shape: int, seed: int = 0) -> Tensor:
    """Positive definite, near the identity, where every method is accurate."""
    noise = gaussian(*shape, seed=seed)
    noise = noise + noise.mT
    return torch.eye(shape[-1], dtype=noise.dtype) + 0.1 * noise / torch.linalg.matrix_norm(noise, 2, keepdim=True)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_a_result_is_within_the_documented_error_or_an_error(root, method: str, n: int) -> None:
    for exponent, dtype in itertools.product([0, 0.5, 1, 2, 4, 6, 8, 10, 12], [torch.float64, torch.float32]):
        if dtype == torch.float32 and exponent > 6:
            continue
        values = torch.logspace(0, -exponent, n, dtype=torch.float64) * 3
        a = with_spectrum(values).to(dtype)
        a = (a + a.mT) / 2
        try:
            result = root(a, method)
        except ValueError:
            kappa_f = float(a.double().norm() / torch.linalg.eigvalsh(a.double())[0])
            assert kappa_f > promised(method, root, dtype)
            with pytest.raises(ValueError, match="did not reach its accuracy"):
                root(a, method)
            continue
        truth = root(a.double(), "eigh")
        kappa_f = float(a.double().norm() * torch.linalg.eigvalsh(a.double())[0].reciprocal())
        if method in ("taylor", "pade"):
            limit = LIMITS[method][root is matrix_inverse_sqrt][dtype]
            assert documented(a.double(), result.double(), root) <= 1.01 * limit + 1e-5
            assert n == 1 or kappa_f <= NEVER[method, power(root)]
        else:
            rounding = 8 * torch.finfo(dtype).eps * (kappa_f if root is matrix_inverse_sqrt else math.sqrt(kappa_f))
            assert (result - truth).norm() <= max(rounding, 20 * torch.finfo(dtype).eps) * truth.norm()


@pytest.mark.parametrize(("method", "exponent"), SURE)
@pytest.mark.parametrize("n", [3, 20])
def test_the_promised_condition_is_accepted_and_the_excluded_one_refused(method: str, exponent: float, n: int) -> None:
    root = matrix_sqrt if exponent > 0 else matrix_inverse_sqrt
    # of Frobenius norm 1: as many eigenvalues at the limit as that leaves room for, and one that takes the rest
    for kappa, accepted in ((SURE[method, exponent], True), (NEVER[method, exponent], False)):
        small = torch.full((n,), 1 / kappa, dtype=torch.float64)[: math.floor(kappa**2)]
        large = torch.tensor([max(1 - float(small.square().sum()), 0)], dtype=torch.float64).sqrt()
        a = with_spectrum(torch.cat([large, small]) if large > 1 / kappa else small)
        a = a / a.norm()
        if accepted:
            assert documented(a, root(a, method), root) <= LIMITS[method][root is matrix_inverse_sqrt][torch.float64]
        else:
            with pytest.raises(ValueError, match="did not reach its accuracy"):
                root(a, method)


@pytest.mark.parametrize("root", ROOTS)
def test_the_pade_approximant_errs_as_its_formula_says(root) -> None:
    a = with_spectrum([0.9, 0.3, 0.2, 0.15])
    s = torch.linalg.eigvalsh(a / a.norm()).sqrt()
    q = ((1 - s) / (1 + s)) ** 11
    ratio = torch.linalg.eigvalsh(root(a, "pade")).sort(descending=root is matrix_inverse_sqrt).values
    ratio = ratio * torch.linalg.eigvalsh(a) ** (-power(root))
    expected = (1 + q) / (1 - q) if root is matrix_sqrt else (1 - q) / (1 + q)
    assert_close(ratio - 1, expected - 1, 1e-9)
    assert abs(float(q[0])) > 1e-5  # there is something to see


@pytest.mark.parametrize("root", ROOTS)
def test_the_taylor_polynomial_errs_by_its_remainder(root) -> None:
    # a multiple of the identity of size 9 has x = 2/3; the series of (1 − x)^{±1/2}, from the 11th power on
    n, x = 9, 2 / 3
    coefficients = [1.0]
    for k in range(1, 200):
        coefficients.append(coefficients[-1] * (k - 1 - power(root)) / k)
    remainder = sum(c * x**k for k, c in enumerate(coefficients) if k > 10)
    truth = (1 - x) ** power(root)
    result = root(4 * torch.eye(n, dtype=torch.float64), "taylor")
    assert abs(remainder / truth) > 1e-4  # there is something to see
    assert_close(result, 4 ** power(root) * (1 - remainder / truth) * torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("values", [[2.0] * 4, [3.0, 3.0, 2.0, 2.0], [1.0, 1 + 1e-13, 1 - 1e-13, 1.5], [0.7]])
@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("method", ["newton_schulz", "taylor", "pade"])
@pytest.mark.parametrize("root", ROOTS)
def test_gradients_where_eigenvalues_coincide(root, method: str, backward: str, values: list[float]) -> None:
    a = with_spectrum(values)
    direction = gaussian(len(a), len(a), seed=3)
    x, y = a.clone().requires_grad_(), a.clone().requires_grad_()
    (got,) = torch.autograd.grad(root(x, method, backward=backward), x, direction)
    (expected,) = torch.autograd.grad(root(y, "eigh"), y, direction)
    assert_close(got, expected, 1e-12 if method == "newton_schulz" else 5e-3)
    assert_close(got, got.mT, 1e-14)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_the_gradient_and_its_gradient(root, method: str, backward: str) -> None:
    a = with_spectrum([1.0, 0.9]).requires_grad_()
    assert gradcheck(lambda x: root(x, method, backward=backward), (a,), atol=1e-5, rtol=1e-5)
    if backward == "exact" or method not in ("auto", "eigh"):
        assert gradgradcheck(lambda x: root(x, method, backward=backward), (a,), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("root", ROOTS)
def test_second_derivatives_of_newton_schulz_at_a_larger_condition(root, backward: str) -> None:
    a = with_spectrum([4.0, 1.0, 0.3]).requires_grad_()
    assert gradcheck(lambda x: root(x, "newton_schulz", backward=backward), (a,), rtol=1e-5)
    assert gradgradcheck(lambda x: root(x, "newton_schulz", backward=backward, eps=0.1), (a,), rtol=1e-4)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("kappa", [1e2, 1e6, 1e12])
def test_gradients_at_every_condition(method: str, kappa: float) -> None:
    a, g = with_spectrum(torch.logspace(0, -math.log10(kappa), 6)), gaussian(6, 6, seed=4)
    x = a.clone().requires_grad_()
    root = matrix_sqrt(x, method)
    (gradient,) = torch.autograd.grad(root, x, g)
    # the Lyapunov equation that defines it: no eigenvector, no other method
    root = root.detach()
    right = (g + g.mT) / 2
    assert (root @ gradient + gradient @ root - right).norm() <= 50 * math.sqrt(kappa) * 2.3e-16 * right.norm()


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_a_batch_is_its_matrices_one_by_one(root, method: str, backward: str, batch: tuple[int, ...]) -> None:
    # of very different sizes: the norm is that of each matrix
    a = gentle(*batch, 4, 4) * torch.logspace(-6, 6, max(math.prod(batch), 1), dtype=torch.float64)[
        : math.prod(batch)
    ].reshape(*batch, 1, 1)
    direction = gaussian(*batch, 4, 4, seed=1)
    x = a.clone().requires_grad_()
    result = root(x, method, backward=backward)
    (gradient,) = torch.autograd.grad(result, x, direction)
    assert result.shape == gradient.shape == a.shape
    for one, r, g, d in zip(*(t.reshape(-1, 4, 4) for t in (a, result, gradient, direction))):
        y = one.clone().requires_grad_()
        expected = root(y, method, backward=backward)
        assert_close(r, expected, 1e-13)
        assert_close(g, torch.autograd.grad(expected, y, d)[0], 1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_turns_and_scales_with_its_argument(root, method: str) -> None:
    a, q = gentle(7, 7), orthogonal(7, seed=5)
    result = root(a, method)
    turned = q @ a @ q.mT
    assert_close(root((turned + turned.mT) / 2, method), q @ result @ q.mT)
    for scale in (1e-300, 1e-200, 1e-30, 1e30, 1e200, 1e300):
        assert_close(root(a * scale, method), result * scale ** power(root))


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_gradients_scale_with_their_argument(root, method: str, backward: str) -> None:
    a, direction = gentle(4, 4), gaussian(4, 4, seed=1)
    x = a.clone().requires_grad_()
    (expected,) = torch.autograd.grad(root(x, method, backward=backward), x, direction)
    for scale in (1e-190, 1e-30, 1e30, 1e190):
        x = (a * scale).requires_grad_()
        (gradient,) = torch.autograd.grad(root(x, method, backward=backward), x, direction)
        assert_close(gradient, expected * scale ** (power(root) - 1), 1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_float32_far_from_one(root, method: str) -> None:
    for scale in (1e-30, 1e30):
        a = (gentle(5, 5) * scale).float()
        a = (a + a.mT) / 2
        assert_close(root(a, method).double(), root(a.double(), "eigh"), 2e-3 if method == "taylor" else 1e-5)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_half_precision_is_computed_in_float32(root, method: str, dtype: torch.dtype, backward: str) -> None:
    a = gentle(6, 6).to(dtype)
    a = ((a + a.mT) / 2).requires_grad_()
    wide = a.detach().float().requires_grad_()
    narrow_result, wide_result = (root(x, method, backward=backward) for x in (a, wide))
    narrow_result.float().sum().backward()
    wide_result.sum().backward()
    assert narrow_result.dtype == dtype
    assert torch.equal(narrow_result, wide_result.to(dtype))
    assert a.grad is not None
    assert wide.grad is not None
    assert a.grad.dtype == dtype
    assert_close(a.grad.float(), wide.grad, 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_autocast_changes_nothing(root, method: str, backward: str) -> None:
    a = gentle(8, 8).float()
    a = (a + a.mT) / 2
    plain, cast = a.clone().requires_grad_(), a.clone().requires_grad_()
    expected = root(plain, method, backward=backward)
    expected.square().sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = root(cast, method, backward=backward)
        result.square().sum().backward()
    assert torch.equal(result, expected)
    assert torch.equal(cast.grad, plain.grad)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("root", ROOTS)
def test_the_ridge_is_absolute_and_makes_a_singular_matrix_usable(root, method: str) -> None:
    x = gaussian(8, 3)
    a = (x @ x.mT).requires_grad_()
    ridge = 20 if method in ("taylor", "pade") else 1e-3
    result = root(a, method, eps=ridge)
    shifted = (a + ridge * torch.eye(8, dtype=a.dtype)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(result.sum(), a)
    expected = root(shifted, method)
    assert_close(result, expected, 1e-9)
    assert_close(gradient, torch.autograd.grad(expected.sum(), shifted)[0], 1e-8)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_root_of_zero(root, method: str) -> None:
    zero = torch.zeros(2, 3, 3, dtype=torch.float64)
    if root is matrix_sqrt and method != "taylor" and method != "pade":
        x = zero.clone().requires_grad_()
        result = root(x, method)
        assert torch.equal(result, zero)
        assert torch.equal(torch.autograd.grad(result.sum(), x)[0], zero)  # among matrices of the same rank
    else:
        with pytest.raises(ValueError, match="singular"):
            root(zero, method)


@pytest.mark.parametrize("n", [128, 512])
def test_large_matrices(n: int) -> None:
    a = spd(n, n)
    for method, tolerance in (("eigh", 1e-12), ("newton_schulz", 1e-11)):
        root, inverse = matrix_sqrt(a, method), matrix_inverse_sqrt(a, method)
        assert_close(root @ root, a, tolerance)
        assert_close(inverse @ root, torch.eye(n, dtype=a.dtype), tolerance)
