"""Discovery finds what the weights say: closed forms, invariances, and the baselines."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from disentangle.directions import METHODS, discover, natural_method, option_names, principal_angles, spectral_gaps
from disentangle.errors import UserError
from tests.fakes import DenseGenerator, LinearGenerator


def matrix_with(singular_values: list[float], features: int, seed: int) -> tuple[Tensor, Tensor]:
    """A matrix ``(features, k)`` with these singular values, and its right singular vectors as rows."""
    draw = torch.Generator().manual_seed(seed)
    k = len(singular_values)
    left = torch.linalg.qr(torch.randn(features, k, generator=draw, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(k, k, generator=draw, dtype=torch.float64)).Q
    return left @ torch.diag(torch.tensor(singular_values, dtype=torch.float64)) @ right.mT, right.mT


def dense(first: list[float], second: list[float], features: int = 9) -> tuple[DenseGenerator, Tensor, Tensor]:
    a, va = matrix_with(first, features, 1)
    b, vb = matrix_with(second, features, 2)
    return DenseGenerator(a.float(), b.float()), va, vb


@pytest.mark.parametrize("method", ["weights", "subspace", "coordinate", "random"])
def test_laws_of_every_method(method: str) -> None:
    generator = LinearGenerator()
    found = discover(generator, method, seed=3, weights="abc")
    assert found.vectors.shape == (6, 6)
    assert found.vectors.dtype == torch.float32
    assert (found.singular_values[1:] <= found.singular_values[:-1]).all()
    torch.testing.assert_close(found.vectors @ found.vectors.mT, torch.eye(6), atol=1e-6, rtol=0)
    assert found.sigma.tolist() == [1.0] * 6
    assert found.stability.tolist() == [0.0] * 6
    assert found.settings["seeded"] is (method == "random")
    for layer in ("layer 1", "layer 2"):
        inside = torch.tensor([name == layer for name in found.layers])
        squares = found.singular_values[inside] ** 2
        torch.testing.assert_close(found.shares[inside], squares / squares.sum())
    assert (found.method, found.seed, found.weights, found.space) == (method, 3, "abc", "latents")
    assert sorted(found.layers) == ["layer 1"] * 3 + ["layer 2"] * 3
    largest = found.vectors.abs().argmax(1, keepdim=True)
    assert (found.vectors.gather(1, largest) > 0).all()
    for vector, layer, response in zip(found.vectors, found.layers, found.singular_values):
        projection = {p.name: p for p in generator.projections()}[layer]
        seen = vector[projection.latents]
        assert seen.norm().item() == pytest.approx(1.0, abs=1e-6), "no direction leaves its layer's latents"
        assert (projection.matrix() @ seen).norm().item() == pytest.approx(response.item(), rel=1e-5)


def test_subspace_is_the_latents_sorted_by_scale_over_all_layers() -> None:
    generator = LinearGenerator()  # scales 9, 6, 3 and 8.5, 5.5, 2.5; orthonormal bases
    found = discover(generator, "subspace")
    assert found.vectors.argmax(1).tolist() == [0, 3, 1, 4, 2, 5]
    assert found.vectors.sum().item() == 6.0
    torch.testing.assert_close(found.singular_values, torch.tensor([9.0, 8.5, 6.0, 5.5, 3.0, 2.5]), rtol=1e-5, atol=0)
    assert found.labels == tuple(f"layer {i} · #{j}" for j in (1, 2, 3) for i in (1, 2))


def test_subspace_importance_is_the_length_of_the_scaled_basis_vector() -> None:
    generator = LinearGenerator(layers=1)
    with torch.no_grad():
        generator.subspaces[0].basis[2] *= 10.0  # no longer of unit length
        generator.subspaces[0].scale[1] *= -1.0
    found = discover(generator, "subspace")
    torch.testing.assert_close(found.singular_values, torch.tensor([30.0, 9.0, 6.0]), rtol=1e-5, atol=0)
    assert found.vectors.argmax(1).tolist() == [2, 0, 1]


def test_weights_are_the_singular_vectors_of_each_layer() -> None:
    generator, va, vb = dense([5.0, 3.0, 1.0], [4.0, 2.0, 0.5])
    found = discover(generator, "weights")
    torch.testing.assert_close(found.singular_values, torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.5]), rtol=1e-5, atol=0)
    expected = torch.stack([va[0], vb[0], va[1], vb[1], va[2], vb[2]]).float()
    cosines = (found.vectors * expected).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.gaps, torch.tensor([0.4, 0.5, 0.4, 0.375, 0.4, 0.375]), rtol=1e-4, atol=0)


def test_weights_of_stacked_layers_solve_the_joint_problem() -> None:
    generator, _, _ = dense([5.0, 3.0, 1.0], [4.0, 2.0, 0.5])
    found = discover(generator, "weights", stack=True)
    both = torch.cat([generator.first, generator.second]).detach().double()
    values, vectors = torch.linalg.eigh(both.mT @ both)
    torch.testing.assert_close(found.singular_values.double(), values.flip(0).sqrt(), rtol=1e-6, atol=0)
    cosines = (found.vectors.double() * vectors.flip(1).mT).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(3).double(), atol=1e-6, rtol=0)
    assert set(found.layers) == {"first + second"}


def test_stack_leaves_layers_of_different_latents_apart() -> None:
    generator = LinearGenerator()
    apart, stacked = discover(generator, "weights"), discover(generator, "weights", stack=True)
    assert torch.equal(apart.vectors, stacked.vectors)
    assert apart.layers == stacked.layers


def test_unit_rows() -> None:
    generator = DenseGenerator(torch.tensor([[100.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), torch.eye(2))
    plain = discover(generator, "weights", layers="first")
    rows = discover(generator, "weights", layers="first", unit_rows=True)
    assert plain.vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert rows.vectors.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    torch.testing.assert_close(rows.singular_values, torch.tensor([math.sqrt(2.0), 1.0]))


def test_a_rotation_of_the_features_changes_nothing_and_one_of_the_latents_turns_the_directions() -> None:
    generator, _, _ = dense([5.0, 3.0, 1.0], [1.0, 1.0, 1.0])
    rotation, _ = matrix_with([1.0] * 9, 9, 4)
    turn, _ = matrix_with([1.0] * 3, 3, 5)
    found = discover(generator, "weights", layers="first")
    rotated = discover(
        DenseGenerator(rotation.float() @ generator.first.detach(), torch.eye(3)), "weights", layers="first"
    )
    torch.testing.assert_close(rotated.vectors, found.vectors, atol=1e-5, rtol=0)
    turned = discover(DenseGenerator(generator.first.detach() @ turn.float(), torch.eye(3)), "weights", layers="first")
    cosines = (turned.vectors * (found.vectors @ turn.float())).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(3), atol=1e-6, rtol=0)


def test_more_latents_than_features_gives_null_directions_last() -> None:
    first = torch.tensor([[0.0, 0.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    found = discover(DenseGenerator(first, torch.eye(4)), "weights", layers="first")
    torch.testing.assert_close(found.singular_values, torch.tensor([3.0, 2.0, 0.0, 0.0]), atol=1e-7, rtol=0)
    assert found.repeated.tolist() == [False, False, True, True]
    torch.testing.assert_close(found.vectors @ found.vectors.mT, torch.eye(4), atol=1e-6, rtol=0)


def test_a_repeated_singular_value_is_marked() -> None:
    generator, right, _ = dense([5.0, 2.0, 2.0], [3.0, 2.0, 1.0])
    found = discover(generator, "weights", layers="first")
    assert found.repeated.tolist() == [False, True, True]
    assert principal_angles(found.vectors[1:], right[1:]).max() < 1e-5, "its plane is known"
    assert not discover(generator, "weights", layers="second").repeated.any()


def test_a_repeated_value_speaks_against_singular_vectors_and_not_against_given_axes() -> None:
    generator = LinearGenerator(layers=1)
    with torch.no_grad():
        generator.subspaces[0].scale.fill_(2.0)  # of an orthonormal basis: all responses are the same
    found = discover(generator, "weights")
    assert found.repeated.all()
    assert "repeated" in found.doubts(0)[0]
    for method in ("coordinate", "subspace", "random"):
        given = discover(generator, method)
        torch.testing.assert_close(given.singular_values, torch.full((3,), 2.0))
        assert given.gaps.tolist() == [math.inf] * 3
        assert not given.repeated.any()
        assert not given.doubts(0)


def test_gaps_in_closed_form() -> None:
    assert spectral_gaps(torch.tensor([8.0, 6.0, 5.0, 1.0])).tolist() == [0.25, 0.125, 0.125, 0.5]
    assert spectral_gaps(torch.tensor([3.0])).tolist() == [math.inf]
    assert spectral_gaps(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_signs_are_the_same_whatever_the_matrix_says() -> None:
    generator, _, _ = dense([5.0, 3.0, 1.0], [1.0, 0.5, 0.2])
    flipped = DenseGenerator(-generator.first.detach(), -generator.second.detach())
    assert torch.equal(discover(generator, "weights").vectors, discover(flipped, "weights").vectors)
    tie = DenseGenerator(torch.tensor([[1.0, -1.0]]), torch.eye(2))
    direction = discover(tie, "weights", layers="first").vectors[0]
    assert direction[0] > 0 > direction[1], "of equal entries the first is positive"


def test_random_follows_its_seed_and_nothing_else() -> None:
    generator = LinearGenerator()
    assert torch.equal(discover(generator, "random", seed=1).vectors, discover(generator, "random", seed=1).vectors)
    assert not torch.equal(discover(generator, "random", seed=1).vectors, discover(generator, "random", seed=2).vectors)
    state = torch.get_rng_state()
    discover(generator, "random")
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_are_selected_by_name_and_the_first_directions_kept() -> None:
    generator = LinearGenerator()
    only = discover(generator, "subspace", layers=["layer 2"], count=2)
    assert set(only.layers) == {"layer 2"}
    assert only.vectors.argmax(1).tolist() == [3, 4]
    assert only.settings["layers"] == ["layer 2"]


def test_bad_input() -> None:
    generator = LinearGenerator()
    with pytest.raises(UserError, match="did you mean weights"):
        discover(generator, "weight")
    with pytest.raises(UserError, match=r"unknown layer 'layer 9'.*layer 1, layer 2"):
        discover(generator, layers="layer 9")
    with pytest.raises(ValueError, match="at least one"):
        discover(generator, count=0)
    with pytest.raises(UserError, match=r"no subspace layer.*weights"):
        discover(DenseGenerator(torch.eye(2), torch.eye(2)), "subspace")
    with torch.no_grad():
        generator.subspaces[0].scale[0] = torch.nan
    with pytest.raises(UserError, match="layer 1 are not finite"):
        discover(generator, "weights")


def test_the_natural_directions_are_those_that_training_separates() -> None:
    steered, dense = LinearGenerator(), DenseGenerator(torch.eye(2), torch.eye(2))
    assert natural_method(steered) == discover(steered).method == "subspace"
    assert natural_method(dense) == discover(dense).method == "weights"
    dense.encode = lambda images: images.flatten(1)[:, :2]  # type: ignore[attr-defined]
    assert natural_method(dense) == "coordinate"


SAMPLED = {"activations": {"samples": 40}, "jacobian": {"samples": 3}}


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"hspace"}))
def test_the_same_seed_gives_the_same_bits_and_the_methods_tell_how_far_they_are(method: str) -> None:
    generator, options = LinearGenerator(), SAMPLED.get(method, {})
    plain = generator.synthesize
    generator.synthesize = lambda latents: torch.tanh(20 * plain(latents))  # type: ignore[method-assign]
    state = torch.get_rng_state()
    told: list[tuple[float, str]] = []
    first = discover(generator, method, seed=1, progress=lambda *args: told.append(args), **options)
    again, other = (discover(generator, method, seed=seed, **options) for seed in (1, 2))
    for name in ("vectors", "singular_values", "shares", "gaps", "stability"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert torch.equal(first.vectors, other.vectors) is not first.settings["seeded"]
    assert torch.equal(torch.get_rng_state(), state)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1.0
    assert all(text for _, text in told)
    assert not first.vectors.requires_grad


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"hspace"}))
def test_what_progress_raises_ends_it(method: str) -> None:
    def cancel(share: float, text: str) -> None:
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt):
        discover(LinearGenerator(), method, progress=cancel, **SAMPLED.get(method, {}))


@pytest.mark.parametrize("method", METHODS)
def test_options_are_those_that_a_method_documents(method: str) -> None:
    assert all(f"    {name}: " in (inspect.getdoc(METHODS[method]) or "") for name in option_names(method))
    with pytest.raises(UserError, match=rf"unknown option of the method {method} 'modul'.*{option_names(method)[0]}"):
        discover(LinearGenerator(), method, modul="x")


class NoLayers:
    """A generator that is no module and names no layers."""

    latent_size = 3

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.randn(n, 3, generator=generator)

    def synthesize(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents * torch.tensor([1.0, 3.0, 2.0])).view(-1, 1, 1, 3)

    def projections(self) -> tuple[()]:
        return ()


def test_a_generator_needs_no_layers() -> None:
    found = discover(NoLayers())
    assert found.method == "jacobian"
    torch.testing.assert_close(found.singular_values, torch.tensor([3.0, 2.0, 1.0]))
    assert discover(NoLayers(), "coordinate").vectors.tolist() == torch.eye(3).tolist()
    turned = discover(NoLayers(), "random", seed=4)
    torch.testing.assert_close(turned.vectors @ turned.vectors.mT, torch.eye(3))
    with pytest.raises(UserError, match="names no layer"):
        discover(NoLayers(), "weights")
