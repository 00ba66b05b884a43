"""The Jacobian's singular vectors: references in float64, with and without forming it, in whatever mode there is."""

import math
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from disentangle.directions import discover, principal_angles
from disentangle.directions.angles import angles_between
from disentangle.directions.methods.derivatives import Derivative, PlainAttention
from disentangle.errors import DisentangleWarning, UserError
from tests.directions.known import GivenLatents, KnownGenerator
from tests.fakes import LinearGenerator
from tests.matrices import gaussian

VALUES = [5.0, 3.0, 2.0, 1.0]
MANY = [10.0, 7.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2]


def bent(features: Tensor) -> Tensor:
    """Smooth, and with another derivative everywhere."""
    return torch.tanh(0.3 * features) + 0.05 * features**2


def mean_square(generator: KnownGenerator, latents: Tensor) -> Tensor:
    """The mean of ``JᵀJ`` by torch's own Jacobian."""
    jacobians = [torch.func.jacfwd(lambda z: generator.synthesize(z[None]).flatten())(z) for z in latents]
    return torch.stack([j.mT @ j for j in jacobians]).mean(0).detach()


@pytest.mark.parametrize(
    "options", [{"samples": 3}, {"at": 7}, {"at": torch.ones(4)}, {"solver": "iteration"}, {"samples": 3, "batch": 3}]
)
def test_of_a_linear_generator_they_are_its_singular_vectors(options: dict[str, object]) -> None:
    generator = KnownGenerator(VALUES)
    found = discover(generator, "jacobian", **options)
    assert angles_between(found.vectors, generator.right).max() < 1e-4
    torch.testing.assert_close(found.singular_values, torch.tensor(VALUES), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.shares, torch.tensor(VALUES) ** 2 / 39, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.gaps, torch.tensor([0.4, 0.2, 0.2, 0.2]), rtol=1e-6, atol=0)
    assert found.stability.max() < 1e-4, "every picture has the same Jacobian"
    assert not found.repeated.any()


@pytest.mark.parametrize("at", [None, 5])
def test_exact_and_matrix_free_agree_with_a_float64_reference(at: int | None) -> None:
    generator = KnownGenerator(MANY, features=30, act=bent)
    seed = 2 if at is None else at
    latents = generator.sample_latents(6 if at is None else 1, torch.Generator().manual_seed(seed))
    square = mean_square(generator, latents)
    values, vectors = torch.linalg.eigh(square)
    options = {"at": at, "seed": 2, "count": 4} | ({"samples": 6} if at is None else {})
    exact = discover(generator, "jacobian", solver="exact", batch=5, **options)  # type: ignore[arg-type]
    free = discover(generator, "jacobian", solver="iteration", batch=5, **options)  # type: ignore[arg-type]
    for found, near in ((exact, 1e-4), (free, 0.2)):
        assert angles_between(found.vectors, vectors.mT.flip(0)[:4]).max() < near
        torch.testing.assert_close(found.singular_values.double(), values.flip(0)[:4].sqrt(), rtol=1e-5, atol=0)
    assert torch.rad2deg(principal_angles(exact, free).max()) < 0.05
    torch.testing.assert_close(exact.shares.double(), (values / values.sum()).flip(0)[:4], rtol=1e-6, atol=0)
    torch.testing.assert_close(free.shares, exact.shares, rtol=0.01, atol=0)  # its total is an estimate
    torch.testing.assert_close(free.gaps, exact.gaps, rtol=0, atol=1e-3)
    assert free.settings["error"] < 0.06
    if at is None:
        halves = [torch.linalg.eigh(mean_square(generator, latents[i::2])).eigenvectors.mT.flip(0) for i in range(2)]
        expected = angles_between(halves[0][:2], halves[1][:2])
        torch.testing.assert_close(exact.stability[:2].double(), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(free.stability, exact.stability, rtol=0.02, atol=0.1)
        assert exact.stability[:4].min() > 0.1
    else:
        assert exact.stability.tolist() == free.stability.tolist() == [0.0] * 4


@pytest.mark.parametrize("solver", ["exact", "iteration"])
def test_the_halves_may_rank_directions_another_way(solver: str) -> None:
    # Values 3, 2, 1 in one half of the samples and 3, 1, 2.2 in the other: the second of all is the third of a half.
    generator = GivenLatents({0: torch.tensor([[1.0] * 3, [-1.0] * 3])}, [[3.0, 2.0, 1.0], [3.0, 1.0, 2.2]])
    found = discover(generator, "jacobian", solver=solver, samples=2, count=2)
    assert found.vectors.abs().argmax(1).tolist() == [0, 2]
    assert found.stability.max() < 1e-3


@pytest.mark.parametrize("solver", ["exact", "iteration"])
def test_a_planted_pair_is_marked_and_its_plane_found(solver: str) -> None:
    generator = KnownGenerator([5.0, 2.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    found = discover(generator, "jacobian", solver=solver, samples=2, count=3)
    assert found.repeated.tolist() == [False, True, True]
    assert principal_angles(found.vectors[1:], generator.right[1:3]).max() < 1e-3
    assert "repeated" in found.doubts(1)[0]


def test_layers_restrict_the_latents() -> None:
    generator = LinearGenerator()
    layer = generator.subspaces[1]
    found = discover(generator, "jacobian", layers="layer 2", at=0)
    assert found.vectors.argmax(1).tolist() == [3, 4, 5]
    torch.testing.assert_close(found.singular_values, 0.01 * layer.scale.detach(), rtol=1e-5, atol=0)
    assert set(found.layers) == {"layer 2"}
    both = discover(generator, "jacobian", layers=["layer 2", "layer 1"], at=0)
    every = discover(generator, "jacobian", at=0)
    assert torch.equal(both.vectors, every.vectors)
    assert set(both.layers) | set(every.layers) == {"layer 1 + layer 2", "latents"}


def test_an_iteration_that_is_cut_short_says_so() -> None:
    generator = KnownGenerator([1.0 + 0.01 * i for i in range(20, 0, -1)], features=30)
    with pytest.warns(DisentangleWarning, match="after 2 iterations .* still off by about"):
        found = discover(generator, "jacobian", solver="iteration", at=0, count=2, iterations=2)
    assert found.settings["error"] > 0.06


@pytest.mark.parametrize(
    ("least", "latents", "iterations", "enough"),
    [(0.99, 100, 60, False), (0.9, 100, 60, False), (0.5, 200, 60, False), (0.5, 200, 400, True)],
)
def test_near_values_need_more_than_to_stand_still(least: float, latents: int, iterations: int, enough: bool) -> None:
    values = torch.linspace(1.0, least, latents).tolist()
    generator = KnownGenerator(values, features=latents)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = discover(generator, "jacobian", solver="iteration", at=0, count=3, iterations=iterations)
    angle = math.degrees(principal_angles(found.vectors, generator.right[:3])[-1])
    assert bool(caught) is not enough
    if enough:
        assert angle < 2 * found.settings["error"] < 0.12
    else:
        assert angle > 1
        assert found.settings["error"] > angle / 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_direction_of_a_repeated_value_will_do(dtype: torch.dtype) -> None:
    generator = KnownGenerator([2.0] * 30, features=40, dtype=dtype)
    found = discover(generator, "jacobian", solver="iteration", at=0, count=2)
    assert found.settings["error"] < 1e-3
    assert found.repeated.all()


def test_without_any_response_there_is_no_share() -> None:
    generator = KnownGenerator(MANY, features=30)
    with torch.no_grad():
        generator.layer.weight.zero_()
    for solver in ("exact", "iteration"):
        found = discover(generator, "jacobian", solver=solver, at=0, count=2)
        assert found.singular_values.tolist() == found.shares.tolist() == found.gaps.tolist() == [0.0, 0.0]


def test_what_an_iteration_leaves_out_is_estimated() -> None:
    generator = KnownGenerator([5.0] + 39 * [1.0], features=40)
    found = discover(generator, "jacobian", solver="iteration", at=0, count=1)
    assert found.shares.item() == pytest.approx(25 / 64, rel=0.05)
    assert "Hutchinson" in found.settings["total"]


@pytest.mark.parametrize(("limit", "least"), [("LATENTS", 4), ("NUMBERS", 36)])
def test_what_is_too_large_is_iterated_on(limit: str, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, solver in ((least, "exact"), (least - 1, "iteration")):
        monkeypatch.setattr(f"disentangle.directions.methods.jacobian.EXACT_{limit}", value)
        assert discover(KnownGenerator(VALUES), "jacobian", at=0).settings["solver"] == solver


def test_many_threads_differentiate_one_generator() -> None:
    generator = KnownGenerator(MANY, features=200, act=bent)
    derivatives = [Derivative(generator) for _ in range(4)]
    z = gaussian(20, 12)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda derivative: [derivative.along(z, z) for _ in range(20)], derivatives))
    assert [len(derivative._ways) for derivative in derivatives] == [3] * 4, "none was driven from the first way"


class ReverseOnly(torch.autograd.Function):
    """A cube that has no forward mode."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, given):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return given * 3 * x**2


class OnceOnly(ReverseOnly):
    """Nor can it be differentiated twice."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, given):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return given * 3 * x**2


def attention(features: Tensor) -> Tensor:
    tokens = features.unflatten(1, (1, 3, 3))
    return F.scaled_dot_product_attention(tokens, tokens, 2 * tokens).flatten(1)


def plain_attention(features: Tensor) -> Tensor:
    tokens = features.unflatten(1, (3, 3))
    return (torch.softmax(tokens @ tokens.mT / 3**0.5, dim=-1) @ (2 * tokens)).flatten(1)


@pytest.mark.parametrize(
    ("act", "reference", "ways"),
    [(bent, bent, 3), (attention, plain_attention, 2), (ReverseOnly.apply, lambda x: x**3, 1)],
)
def test_each_way_to_differentiate_gives_the_same_products(act: object, reference: object, ways: int) -> None:
    generator = KnownGenerator(VALUES, act=act, dtype=torch.float32)  # type: ignore[arg-type]
    latents, tangents, cotangents = (gaussian(3, size, seed=i) for i, size in enumerate((4, 4, 9)))
    exact = KnownGenerator(VALUES, act=reference)  # type: ignore[arg-type]
    jacobians = torch.stack([torch.func.jacfwd(lambda z: exact.synthesize(z[None]).flatten())(z) for z in latents])
    jacobians = jacobians.detach()
    derivative = Derivative(generator)
    for _ in range(2):  # the second time it knows the way
        along = derivative.along(latents.float(), tangents.float())
        torch.testing.assert_close(along.double(), (jacobians @ tangents[:, :, None])[:, :, 0], rtol=1e-3, atol=1e-4)
    assert len(derivative._ways) == ways
    back = derivative.back(latents.float(), cotangents.float())
    torch.testing.assert_close(back.double(), (cotangents[:, None] @ jacobians)[:, 0], rtol=1e-3, atol=1e-4)
    assert not along.requires_grad
    assert all(parameter.grad is None for parameter in generator.parameters())


def tokens() -> list[Tensor]:
    return [gaussian(30, 8, seed=i).float().view(2, 3, 5, 8) for i in range(3)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril()},
        {"attn_mask": gaussian(5, 5).float()},
    ],
)
def test_plain_attention_is_that_of_torch(options: dict[str, Any]) -> None:
    with sdpa_kernel(SDPBackend.MATH):
        expected = F.scaled_dot_product_attention(*tokens(), **options)
    with PlainAttention():
        plain = F.scaled_dot_product_attention(*tokens(), **options)
    torch.testing.assert_close(plain, expected, rtol=0, atol=0)


@pytest.mark.parametrize("way", ["_plain_forward", "_twice_back"])
def test_the_attention_of_other_threads_is_left_as_it_is(way: str) -> None:
    expected = F.scaled_dot_product_attention(*tokens())
    with sdpa_kernel(SDPBackend.MATH):
        assert not torch.equal(F.scaled_dot_product_attention(*tokens()), expected), "the last bits tell them apart"
    others: list[Tensor] = []

    def busy(features: Tensor) -> Tensor:
        thread = threading.Thread(target=lambda: others.append(F.scaled_dot_product_attention(*tokens())))
        thread.start()
        thread.join()
        return attention(features)

    derivative = Derivative(KnownGenerator(VALUES, act=busy, dtype=torch.float32))
    z = gaussian(2, 4).float()
    assert getattr(derivative, way)(z, z).abs().max() > 0.01
    assert len(others) == 1
    assert torch.equal(others[0], expected)


@pytest.mark.parametrize("act", [torch.detach, lambda x: torch.ones_like(x)])
def test_pictures_without_a_derivative_have_none(act: object) -> None:
    derivative = Derivative(KnownGenerator(VALUES, act=act))  # type: ignore[arg-type]
    assert derivative.along(torch.ones(2, 4).double(), torch.ones(2, 4).double()).tolist() == [[0.0] * 9] * 2
    assert derivative._twice_back(torch.ones(2, 4).double(), torch.ones(2, 4).double()).abs().max() == 0
    assert derivative.back(torch.ones(2, 4).double(), torch.ones(2, 9).double()).tolist() == [[0.0] * 4] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples must be at least 2, got 1: for one latent"),
        ({"at": -1}, "seed must lie between"),
        ({"at": torch.ones(5)}, r"one latent of 4 finite numbers, got shape \(5,\)"),
        ({"at": torch.full((4,), math.nan)}, "one latent of 4 finite"),
        ({"solver": "exakt"}, "did you mean exact"),
        ({"batch": 0}, "at least 1"),
        ({"iterations": 0}, "at least 1"),
        ({"act": OnceOnly.apply}, r"cannot be differentiated by its latents.*possible here: activations"),
        ({"act": lambda x: x / 0.0}, "derivative of the pictures is not finite"),
        ({"act": lambda x: x / 0.0, "solver": "iteration"}, "derivative of the pictures is not finite"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    generator = KnownGenerator(VALUES, **({"act": options.pop("act")} if "act" in options else {}))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        discover(generator, "jacobian", **options)


def test_what_was_told_is_kept() -> None:
    found = discover(KnownGenerator(VALUES), "jacobian", at=torch.ones(1, 4), count=2)
    assert found.settings["at"].startswith("a given latent, SHA-256 ")
    assert (found.settings["solver"], found.settings["total"], found.settings["seeded"]) == ("exact", "exact", False)
    assert len(found) == found.settings["count"] == 2
