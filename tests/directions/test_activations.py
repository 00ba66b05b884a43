"""Principal components of activations and their way back to the latents."""

import threading

import pytest
import torch
from torch import Tensor, nn

from disentangle.directions import discover, principal_angles
from disentangle.directions.angles import angles_between
from disentangle.directions.methods.activations import principal
from disentangle.directions.methods.base import half_errors
from disentangle.directions.methods.hooks import calls, outputs
from disentangle.errors import UserError
from disentangle.generator import Projection
from tests.directions.known import GivenLatents, KnownGenerator
from tests.fakes import LinearGenerator
from tests.matrices import gaussian

VALUES = [5.0, 3.0, 2.0, 1.0]


@pytest.mark.parametrize("features", [6, 40])  # fewer and more of them than samples
@pytest.mark.parametrize("held", [2**26, 16 * 7])  # in one piece, and in pieces of seven features
def test_of_a_linear_module_they_are_its_singular_vectors(
    features: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disentangle.directions.methods.activations.HELD", held)
    generator = KnownGenerator(VALUES, features, designed=True)
    found = discover(generator, "activations", samples=16, batch=5)
    assert angles_between(found.vectors, generator.right).max() < 1e-4
    torch.testing.assert_close(found.singular_values, torch.tensor(VALUES), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.shares, torch.tensor(VALUES) ** 2 / 39, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.gaps, torch.tensor([0.4, 0.2, 0.2, 0.2]), rtol=1e-6, atol=0)
    assert found.stability.max() < 1e-3, "both halves have the same covariance"
    assert found.layers == ("layer",) * 4


def test_the_map_back_is_least_squares_in_all_principal_coordinates() -> None:
    generator = KnownGenerator(VALUES, features=30, act=nn.Tanh())
    found = discover(generator, "activations", module="act", samples=200, count=3)
    latents = generator.sample_latents(200, torch.Generator().manual_seed(0))
    values = generator.synthesize(latents).detach().flatten(1)
    _, spread, axes = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    coordinates = torch.cat([(values - values.mean(0)) @ axes[:3].mT, torch.ones(200, 1).double()], dim=1)
    slopes = torch.linalg.lstsq(coordinates, latents).solution[:3]
    assert angles_between(found.vectors, nn.functional.normalize(slopes, dim=1)).max() < 1e-4
    torch.testing.assert_close(found.singular_values.double(), spread[:3] / 199**0.5, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.shares.double(), (spread**2 / (spread**2).sum())[:3], rtol=1e-6, atol=0)


def test_noise_turns_the_axes_of_a_near_pair_and_not_its_plane() -> None:
    generator = KnownGenerator([9.0, 3.0, 3.0, 0.5])
    found = discover(generator, "activations", samples=2000)
    assert found.stability[0] < 5
    assert found.stability[1:3].min() > 10
    assert torch.rad2deg(principal_angles(found.vectors[1:3], generator.right[1:3])[-1]) < 3
    assert discover(generator, "activations", samples=8).stability.max() > 30


def test_layers_decide_what_is_moved_and_where_to_look() -> None:
    generator = LinearGenerator()
    both = discover(generator, "activations", samples=64)
    assert both.settings["module"] == "subspaces.1", "the last layer has seen all"
    first = discover(generator, "activations", layers="layer 1", samples=64)
    assert first.settings["module"] == "subspaces.0"
    assert len(first) == 3
    assert set(first.layers) == {"subspaces.0, layer 1"}
    assert first.vectors[:, 3:].abs().max() == 0
    assert first.vectors.argmax(1).tolist() == [0, 1, 2]


class TwoBranches(KnownGenerator):
    """The latents of two layers enter one module; those of the first are a hundred times as strong there."""

    def __init__(self) -> None:
        super().__init__(VALUES)
        weight = torch.cat([100 * gaussian(9, 2, seed=3), gaussian(9, 2, seed=4)], dim=1)
        self.layer.weight = nn.Parameter(weight)

    def projections(self) -> tuple[Projection, ...]:
        halves = ((1, slice(0, 2)), (2, slice(2, 4)))
        return tuple(
            Projection(f"layer {i}", "layer.weight", part, lambda part=part: self.layer.weight[:, part].detach())
            for i, part in halves
        )


@pytest.mark.parametrize("samples", [8, 2000])  # fewer and more than features
def test_the_latents_of_other_layers_are_held(samples: int) -> None:
    generator = TwoBranches()
    found = discover(generator, "activations", layers="layer 2", samples=samples)
    branch, latents = (
        generator.projections()[1].matrix(),
        generator.sample_latents(samples, torch.Generator().manual_seed(0))[:, 2:],
    )
    vectors, spread = principal(latents @ branch.mT, latents, 2)
    assert found.vectors[:, :2].abs().max() == 0
    assert angles_between(found.vectors[:, 2:], vectors).max() < 1e-4
    torch.testing.assert_close(found.singular_values.double(), spread[:2], rtol=1e-6, atol=0)
    assert found.shares.sum().item() == pytest.approx(1.0)
    if samples > 8:
        assert angles_between(found.vectors, discover(generator, "weights", layers="layer 2").vectors).max() < 5


def test_what_comes_before_the_layer_does_not_depend_on_it() -> None:
    with pytest.raises(UserError, match=r"subspaces\.0 puts out does not depend on the latents of layer 2"):
        discover(LinearGenerator(), "activations", layers="layer 2", module="subspaces.0", samples=50, batch=7)


def test_what_is_left_of_rounding_is_no_direction() -> None:
    generator = KnownGenerator([5.0, 3.0, 0.0, 0.0], features=30, designed=True, dtype=torch.float32)
    found = discover(generator, "activations", samples=16)
    assert len(found) == 2
    assert principal_angles(found.vectors, generator.right[:2]).max() < 1e-3


def test_a_component_that_no_latent_moves_has_no_direction() -> None:
    latents = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
    even = 5 * latents[:, :1].square()  # larger than the others, and without a slope
    vectors, spread = principal(torch.cat([latents * torch.tensor([3.0, 2.0]), even], dim=1), latents, 3)
    torch.testing.assert_close(vectors.abs(), torch.eye(2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(spread[:3], torch.tensor([18.0, 8.0, 25.0]).double().div(3).sqrt())


def test_the_halves_may_rank_directions_another_way() -> None:
    # Spreads 3, 2, 1 in one half of the samples and 3, 1, 2.2 in the other: the second of all is the third of a half.
    halves = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.2]])
    axes = torch.stack([torch.diag(spreads) for spreads in halves], dim=1).flatten(0, 1)
    generator = GivenLatents({0: torch.cat([axes, -axes])}, [[1.0] * 3] * 2)
    found = discover(generator, "activations", module="bend", samples=12, count=2)
    assert found.vectors.argmax(1).tolist() == [0, 2]
    assert found.stability.max() < 1e-3


class Odd(KnownGenerator):
    """Modules that put out several things, are called twice, enclose others, or are not called."""

    def __init__(self) -> None:
        super().__init__(VALUES)
        self.double = self.layer.double()
        self.inner = nn.Sequential(nn.Identity(), nn.Tanh())
        self.pair, self.row, self.idle = nn.LSTM(9, 2, dtype=torch.float64), nn.Flatten(0), nn.Linear(2, 2)

    def synthesize(self, latents: Tensor) -> Tensor:
        self.pair(latents.new_zeros(1, 9))
        self.row(latents)
        once = self.inner(self.layer(latents))
        return self.inner(once + 1.0).clamp_(-0.5, 0.5)[:, None, None, :]


def test_the_last_call_counts_and_nothing_that_follows_changes_it() -> None:
    generator = Odd()
    latents = generator.sample_latents(5, torch.Generator().manual_seed(0))
    called = calls(generator, latents)
    assert (called["inner"].times, called["layer"].times) == (2, 1)
    expected = torch.tanh(torch.tanh(generator.layer(latents)) + 1.0)
    assert torch.equal(outputs(generator, called["inner"], latents), expected)
    assert expected.max() > 0.5
    generator = KnownGenerator(VALUES)
    call = calls(generator, latents)["layer"]
    generator.act.forward = lambda features: pytest.fail("what follows is not needed")  # type: ignore[method-assign]
    assert torch.equal(outputs(generator, call, latents), generator.layer(latents))


def test_other_threads_make_their_pictures_meanwhile() -> None:
    generator = KnownGenerator(VALUES)
    alone, others = generator.synthesize, []
    latents = generator.sample_latents(2, torch.Generator().manual_seed(0))

    def busy(given: Tensor) -> Tensor:
        thread = threading.Thread(target=lambda: others.append(alone(latents)))
        thread.start()
        thread.join()
        return alone(given)

    generator.synthesize = busy  # type: ignore[method-assign]
    called = calls(generator, latents)
    assert called["layer"].times == 1
    assert outputs(generator, called["layer"], latents + 1).shape == (2, 9)
    assert len(others) == 2, "none of them was cut short"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("leyer", r"unknown module 'leyer': did you mean layer\?"),
        ("pair", r"pair puts out several things or none, not a tensor.*possible: layer, inner.0, inner.1, inner$"),
        ("row", r"row puts out a tensor of shape \(8,\)"),
        ("idle", r"idle is not called by itself.*possible: layer"),
        ("", "unknown module ''"),
    ],
)
def test_a_module_that_cannot_be_looked_into(module: str, message: str) -> None:
    generator = Odd()
    with pytest.raises(UserError, match=message):
        discover(generator, "activations", module=module, samples=4)


def test_nothing_to_find() -> None:
    generator = KnownGenerator(VALUES)
    with pytest.raises(UserError, match="samples must lie between 4 and 10,000"):
        discover(generator, "activations", samples=3)
    with torch.no_grad():
        generator.layer.weight.zero_()
    with pytest.raises(UserError, match="layer puts out does not depend on the latents"):
        discover(generator, "activations", samples=8)
    with torch.no_grad():
        generator.layer.weight.fill_(torch.inf)
    with pytest.raises(UserError, match="layer puts out is not finite"):
        discover(generator, "activations", samples=8)


def test_a_cancelled_discovery_leaves_no_hook_behind() -> None:
    generator = KnownGenerator(VALUES)

    def cancel(share: float, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover(generator, "activations", samples=64, progress=cancel)
    assert not any(module._forward_hooks for module in generator.modules())
    assert len(discover(generator, "activations", samples=64)) == 4


def test_a_pair_that_samples_cannot_tell_apart_is_marked() -> None:
    marked = torch.zeros(8)
    for seed in range(20):
        generator = KnownGenerator([3.0, 2.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2])
        found = discover(generator, "activations", samples=1000, seed=seed)
        assert not found.repeated.any(), "samples never give the same value twice"
        marked += found.unresolved
        assert all(("may be repeated" in " ".join(found.doubts(k))) == bool(found.unresolved[k]) for k in range(8))
    assert marked[1:3].min() >= 16, marked
    assert marked[[0, 3]].max() <= 1, marked


def test_the_error_of_a_singular_value_is_that_of_a_standard_deviation() -> None:
    errors = []
    for seed in range(40):
        found = discover(KnownGenerator([3.0, 2.0, 1.5, 1.0, 0.5]), "activations", samples=800, seed=seed)
        assert found.errors is not None
        errors.append(found.errors.double() * found.singular_values.max() / found.singular_values)
    # Of n Gaussian samples s / sqrt(2n). One estimate from five differences is off by a third; forty, by a twentieth.
    assert torch.stack(errors).square().mean().sqrt().item() == pytest.approx((2 * 800) ** -0.5, rel=0.15)


@pytest.mark.parametrize("samples", range(4, 21))
def test_any_number_of_samples_has_halves(samples: int) -> None:
    found = discover(KnownGenerator([3.0, 2.0, 1.5, 1.0, 0.5, 0.4, 0.3]), "activations", samples=samples)
    assert found.errors is not None
    assert found.errors.isfinite().all()
    assert (found.errors > 0).all()


@pytest.mark.parametrize("dead", [0.0, 1e-8])
def test_what_does_nothing_does_not_blur_the_rest(dead: float) -> None:
    values = torch.tensor([10.0, 8.0, 6.0, 4.0, 2.0, *[dead] * 5], dtype=torch.float64)
    noise = 1e-7 * torch.randn(2, 10, generator=torch.Generator().manual_seed(0)).double().abs()
    halves = values * torch.tensor([[1.001], [0.999]]) + noise
    errors = half_errors(values, *halves)
    torch.testing.assert_close(errors, 0.001 * values, rtol=1e-3, atol=1e-9)
