"""The Hessian penalty and OroJaR against closed forms, enumerated over all directions."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from disentangle.penalties import (
    hessian_penalty,
    hessian_variances,
    orojar,
    orojar_variances,
    reduce_variances,
)

D = 4
PENALTIES = [hessian_penalty, orojar]
Penalty = Callable[..., Tensor]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def every_sign(n: int) -> Tensor:
    """All directions of ``D`` signs, ``(2 ** D, n, D)``: their variance, times (k - 1) / k, is the expected one."""
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=D)), dtype=torch.float64)
    return signs[:, None].expand(-1, n, -1)


EXACT = 1 - 2.0**-D
"""The unbiased variance over all directions, times this, is the variance of the uniform distribution over them."""


def off_diagonal(matrices: Tensor) -> Tensor:
    """2 Σ_{i≠j} A_ij² of symmetric matrices."""
    return 2 * (matrices.square().sum((-2, -1)) - matrices.diagonal(dim1=-2, dim2=-1).square().sum(-1))


def quadratic(outputs: int, seed: int = 0) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Quadratic forms with a linear part, ``(n, D)`` to ``(n, outputs)``, and their Hessians."""
    halves = gaussian(outputs, D, D, seed=seed)
    slopes = gaussian(outputs, D, seed=seed + 1)
    hessians = halves + halves.mT
    return lambda z: torch.einsum("ni,oij,nj->no", z, halves, z) + z @ slopes.T + 7, hessians


def test_the_hessian_penalty_of_quadratic_forms_is_that_of_their_hessians() -> None:
    (small, few), (large, many) = quadratic(3), quadratic(5, seed=2)
    z, expected = gaussian(2, D), [off_diagonal(few), off_diagonal(many)]

    def layers(z: Tensor) -> list[Tensor]:
        return [small(z), large(z).unflatten(1, (5, 1, 1))]

    for epsilon in (0.1, 1.0):
        options = {"epsilon": epsilon, "directions": every_sign(2)}
        largest = EXACT * hessian_penalty(layers, z, **options)
        assert float(largest) == pytest.approx(sum(float(e.max()) for e in expected), rel=1e-9)
        mean = EXACT * hessian_penalty(layers, z, reduction="mean", **options)
        assert float(mean) == pytest.approx(sum(float(e.mean()) for e in expected), rel=1e-9)


def test_orojar_of_a_linear_map_is_that_of_its_gram_matrix() -> None:
    few, many = gaussian(3, D), gaussian(5, D, seed=1)
    z = gaussian(2, D)
    options = {"directions": every_sign(2), "epsilon": 0.3}
    penalty = EXACT * orojar(lambda z: (z @ few.T + 7, (z @ many.T).unflatten(1, (5, 1))), z, **options)
    expected = off_diagonal(few.T @ few) + off_diagonal(many.T @ many)
    assert float(penalty) == pytest.approx(float(expected), rel=1e-9)
    orthogonal = torch.linalg.qr(gaussian(6, D)).Q
    assert float(orojar(lambda z: z @ orthogonal.T, z, **options)) < 1e-20
    assert float(hessian_penalty(lambda z: z @ many.T, z, **options)) < 1e-18


@pytest.mark.parametrize(("penalty", "variances"), [(hessian_penalty, hessian_variances), (orojar, orojar_variances)])
def test_the_penalty_is_of_the_worst_sample_or_of_all(penalty: Penalty, variances: Penalty) -> None:
    # z_0 z_1² + z_2: Hessian and Jacobian depend on z, so that samples differ.
    def fn(z: Tensor) -> Tensor:
        return torch.stack([z[:, 0] * z[:, 1] ** 2 + z[:, 2], z[:, 2] * z[:, 0]], dim=1)

    z = gaussian(5, D)
    directions = torch.randint(0, 2, (3, 5, D), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    each = torch.stack([penalty(fn, z[i : i + 1], directions=directions[:, i : i + 1]) for i in range(5)])
    assert float(penalty(fn, z, directions=directions)) == pytest.approx(float(each.max()), rel=1e-12)
    values = variances(fn, z, directions=directions)
    assert torch.allclose(values, each[None], rtol=1e-12)
    assert float(reduce_variances(values, "mean")) == pytest.approx(float(each.mean()), rel=1e-12)
    known = penalty(fn, z, directions=directions, outputs=[fn(z)])
    assert torch.equal(known, penalty(fn, z, directions=directions))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_drawn_directions_are_fair_signs_that_the_generator_decides(penalty: Penalty) -> None:
    seen: list[Tensor] = []

    def fn(z: Tensor) -> Tensor:
        seen.append(z)
        return z[:, :1] * z[:, 1:] + z.cumsum(1)[:, 1:]

    def draw(seed: int) -> float:
        return float(penalty(fn, z, 400, 0.25, torch.Generator().manual_seed(seed)))

    z = torch.zeros(3, D, dtype=torch.float64)
    state = torch.random.get_rng_state()
    one, same, other = draw(1), draw(1), draw(2)
    assert one == same != other
    assert torch.equal(torch.random.get_rng_state(), state)
    moved = torch.stack(seen[: len(seen) // 3])
    moved = moved[moved.abs().sum((1, 2)) > 0]
    assert moved.abs().unique().tolist() == [0.25]
    signs = moved[:: 2 if penalty is hessian_penalty else 1] / 0.25
    assert len(signs) == 400
    assert signs.mean(0).abs().max() < 0.2  # of 400, four standard errors
    rows = signs.flatten(1)
    assert ((rows.T @ rows / 400) - torch.eye(3 * D)).abs().max() < 0.2  # independent, also between samples


@pytest.mark.parametrize("penalty", PENALTIES)
def test_two_samples_estimate_the_expected_penalty_without_bias(penalty: Penalty) -> None:
    fn, hessians = quadratic(1)
    slopes = torch.autograd.functional.jacobian(lambda z: fn(z[None])[0], torch.zeros(D, dtype=torch.float64))
    n = 20_000
    z = torch.zeros(n, D, dtype=torch.float64)
    options = {"reduction": "mean", "generator": torch.Generator().manual_seed(0)}
    if penalty is orojar:
        found, expected = orojar(lambda z: z @ slopes.T, z, **options), off_diagonal(slopes.T @ slopes)
    else:
        found, expected = hessian_penalty(fn, z, **options), off_diagonal(hessians)
    assert float(found) == pytest.approx(float(expected), rel=0.05)  # a standard error is at most 0.014


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradients_reach_parameters_and_latents_twice(penalty: Penalty) -> None:
    weight = gaussian(1, D).requires_grad_()
    z = gaussian(1, D, seed=1).requires_grad_()
    directions = every_sign(1)[[0, 3]]

    def value(weight: Tensor, z: Tensor) -> Tensor:
        return penalty(lambda z: torch.tanh(z @ weight.T), z, directions=directions)

    assert torch.autograd.gradcheck(value, (weight, z))
    assert torch.autograd.gradgradcheck(value, (weight, z))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_autocast_does_not_reach_the_differences(penalty: Penalty) -> None:
    weight, z = gaussian(8, D).float(), gaussian(2, D).float()
    directions = every_sign(2)[[0, 3, 5]].float()

    def fn(z: Tensor) -> Tensor:
        return torch.tanh(torch.nn.functional.linear(z, weight))

    exact = penalty(fn, z, directions=directions)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(penalty(fn, z, directions=directions), exact)
    assert exact.dtype == torch.float32


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 1}, "at least 2 samples, a whole number, got 1"),
        ({"samples": -1}, "at least 2 samples, a whole number, got -1"),
        ({"samples": 2.5}, "at least 2 samples, a whole number, got 2.5"),
        ({"directions": torch.ones(1, 3, 4)}, "at least 2 samples, got 1"),
        ({"z": torch.zeros(3, 4, dtype=torch.bfloat16)}, "z must be float32 or float64, got torch.bfloat16"),
        ({"epsilon": 0.0}, "epsilon must be above 0 and finite, got 0.0"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"reduction": "sum"}, "unknown reduction 'sum': possible: max, mean"),
        ({"directions": torch.ones(2, 3, 5)}, r"directions must be \(samples, 3, 4\), got \(2, 3, 5\)"),
        ({"z": torch.zeros(3)}, r"z must hold latents \(n, d\)"),
        ({"z": torch.zeros(0, 4)}, r"got shape \(0, 4\)"),
        ({"fn": lambda z: z.sum()}, r"one output for each of 3 latents, or several layers of them, got \(\)"),
        ({"fn": lambda z: []}, "got nothing"),
        ({"fn": lambda z: [z, z[:2]]}, r"got \(3, 4\), \(2, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(penalty: Penalty, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        penalty(**{"fn": lambda z: z, "z": torch.zeros(3, D)} | options)
