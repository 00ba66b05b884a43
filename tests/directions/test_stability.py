"""By how much another seed turns a direction."""

import pytest
import torch

from disentangle.directions import discover, match, measure_seed_stability
from disentangle.errors import UserError
from tests.directions.known import GivenLatents, KnownGenerator
from tests.fakes import LinearGenerator


@pytest.mark.parametrize("method", ["weights", "subspace", "coordinate"])
def test_what_draws_nothing_is_stable_and_not_found_again(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = discover(LinearGenerator(), method)
    monkeypatch.setattr("disentangle.directions.stability.discover", pytest.fail)
    measured = measure_seed_stability(LinearGenerator(), found)
    assert measured.seed_stability.tolist() == [0.0] * 6
    assert torch.equal(measured.vectors, found.vectors)
    assert not measured.unstable.any()


def test_the_jacobian_at_one_latent_draws_nothing() -> None:
    generator = KnownGenerator([3.0, 2.0], act=torch.tanh)
    assert measure_seed_stability(generator, discover(generator, "jacobian", at=0)).seed_stability.tolist() == [0.0] * 2


def test_random_directions_are_not_stable() -> None:
    generator = KnownGenerator([float(i) for i in range(12, 0, -1)], features=12)
    found = measure_seed_stability(generator, discover(generator, "random"), seeds=3)
    assert found.seed_stability.mean() > 45
    assert "another seed turns it" in found.doubts(int(found.seed_stability.argmax()))[-1]


def test_it_is_the_mean_angle_to_the_next_seeds_with_the_same_settings() -> None:
    generator = KnownGenerator([4.0, 3.0, 2.0, 1.0], features=20)
    options = {"samples": 50, "batch": 7}
    found = discover(generator, "activations", seed=4, count=2, **options)
    others = [discover(generator, "activations", seed=seed, **options) for seed in (5, 6)]
    expected = torch.stack([match(found, other).angles for other in others]).mean(0)
    reported: list[float] = []
    measured = measure_seed_stability(generator, found, progress=lambda share, text: reported.append(share))
    torch.testing.assert_close(measured.seed_stability.double(), expected, rtol=1e-4, atol=0)
    assert measured.seed_stability.min() > 1
    assert reported == sorted(reported)
    assert reported[-1] == 1.0
    # Some of them, and in another order of strength, are measured all the same.
    torch.testing.assert_close(
        measure_seed_stability(generator, found.take([1])).seed_stability.double(), expected[1:], rtol=1e-4, atol=0
    )


def test_another_seed_may_rank_directions_another_way() -> None:
    # Of the one seed's latents the second is the steepest, of the other's the third, before the second.
    latents = {0: -torch.ones(2, 3), 1: torch.ones(2, 3)}
    generator = GivenLatents(latents, [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    found = discover(generator, "jacobian", samples=2, count=1)
    assert found.vectors.argmax(1).tolist() == [1]
    assert discover(generator, "jacobian", samples=2, count=1, seed=1).vectors.argmax(1).tolist() == [2]
    assert measure_seed_stability(generator, found, seeds=1).seed_stability.item() < 1e-3


def test_bad_input() -> None:
    found = discover(LinearGenerator(), "random")
    with pytest.raises(ValueError, match="at least one other seed"):
        measure_seed_stability(LinearGenerator(), found, seeds=0)
    with pytest.raises(UserError, match="of 6 latents and LinearGenerator has 9"):
        measure_seed_stability(LinearGenerator(layers=3), found)
