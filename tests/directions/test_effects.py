"""Effects in closed form: a generator that draws known factors by known latents, and readers that know or guess."""

import math

import pytest
import torch
from torch import Tensor

from disentangle.directions import Directions, largest_change, measure_effects

NAMES = ("left", "right")


class TwoPatches:
    """Pictures of two pixels: the first shows latent 0 and half of latent 1, the second latent 1. Latent 2 does
    nothing."""

    latent_size = 3

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, 3, generator=generator)

    def synthesize(self, latents: Tensor) -> Tensor:
        return torch.stack([latents[:, 0] + latents[:, 1] / 2, latents[:, 1]], dim=1)[:, None, None]

    def projections(self) -> tuple[()]:
        return ()


def axes() -> Directions:
    one = torch.ones(3)
    return Directions(torch.eye(3), one, one / 3, one, one, ("layer",) * 3, "coordinate", activeness=one)


def signs(pictures: Tensor) -> list[Tensor]:
    """A sure reader: whether each of the two pixels is positive."""
    positive = (pictures[:, 0, 0] > 0).long()
    return [torch.nn.functional.one_hot(column, 2).float() for column in positive.unbind(1)]


def test_the_share_of_pictures_whose_value_changes() -> None:
    found = measure_effects(TwoPatches(), axes(), signs, factors=NAMES, readable=torch.ones(2), samples=2000)
    # From −2 to 2 the left pixel's sign changes unless half of latent 1 is beyond 2, that of the right one always; and
    # latent 1 moves the left one from z0 − 1 to z0 + 1.
    normal = torch.distributions.Normal(0.0, 1.0)
    beyond = 2 * float(normal.cdf(torch.tensor(-4.0)))
    within = 1 - 2 * float(normal.cdf(torch.tensor(-1.0)))
    expected = torch.tensor([[1 - beyond, 0.0], [within, 1.0], [0.0, 0.0]])
    assert found.effects is not None
    torch.testing.assert_close(found.effects, expected, atol=0.02, rtol=0)
    assert found.effects[2].tolist() == [0.0, 0.0]
    assert found.factors == NAMES
    assert found.moves == ("left", "right", "")
    assert found.purity is not None
    torch.testing.assert_close(found.purity, torch.tensor([1.0, 1 / (1 + within), 0.0]), atol=0.02, rtol=0)


def test_a_reader_that_is_wrong_or_vague_sees_less_and_one_that_guesses_nothing() -> None:
    kind = {"factors": NAMES, "samples": 50}
    sure = measure_effects(TwoPatches(), axes(), signs, readable=torch.ones(2), **kind)
    noisy = measure_effects(
        TwoPatches(), axes(), signs, readable=torch.tensor([1.0, 0.5]), noise=torch.tensor([0.25, 0.0]), **kind
    )
    expected = torch.stack([(sure.effects[:, 0] - 0.25).clamp_min(0) / 0.75, sure.effects[:, 1] / 2], dim=1)
    torch.testing.assert_close(noisy.effects, expected)
    assert noisy.readable.tolist() == [1.0, 0.5]

    draw = torch.Generator().manual_seed(0)

    def guesses(pictures: Tensor) -> list[Tensor]:
        return [torch.eye(2)[torch.randint(2, (len(pictures),), generator=draw)] for _ in NAMES]

    assert not measure_effects(TwoPatches(), axes(), guesses, readable=torch.zeros(2), **kind).effects.any()

    # On the data it read well; of these pictures it says nothing: as likely right as wrong, with slight differences.
    def vague(pictures: Tensor) -> list[Tensor]:
        return [0.5 + 0.05 * (each - 0.5) for each in signs(pictures)]

    found = measure_effects(TwoPatches(), axes(), vague, readable=torch.ones(2), **kind)
    torch.testing.assert_close(found.readable, torch.full((2,), 0.05))
    assert found.effects.max() < 1e-3


def test_the_divergence_is_jensen_and_shannon_s() -> None:
    p, q = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    middle = [(a + b) / 2 for a, b in zip(p, q)]

    def entropy(values: list[float]) -> float:
        return -sum(value * math.log2(value) for value in values if value)

    expected = entropy(middle) - (entropy(p) + entropy(q)) / 2
    far = largest_change(torch.tensor([[p, q], [p, p], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]))
    torch.testing.assert_close(far, torch.tensor([expected, 0.0, 1.0], dtype=torch.float64))
    assert float(largest_change(torch.tensor([[p, p, q]]))) == pytest.approx(expected), "of all pairs"
    order = torch.tensor([2, 0, 1])
    assert float(largest_change(torch.tensor([[p, q]])[..., order])) == pytest.approx(expected), "whatever the order"


def between(pictures: Tensor) -> list[Tensor]:
    """Reads each pixel as a number from -10 to 10 by the two of 21 values that it lies between."""
    place = (pictures[:, 0, 0] + 10).clamp(0, 20)
    low = place.floor().long().clamp(max=19)
    share = place - low
    one_hot = torch.nn.functional.one_hot
    both = one_hot(low, 21) * (1 - share)[..., None] + one_hot(low + 1, 21) * share[..., None]
    return list(both.unbind(1))


def test_how_far_a_value_moves_is_that_of_the_linear_generator() -> None:
    scale = torch.linspace(0, 1, 21, dtype=torch.float64)
    kind = {"factors": NAMES, "readable": torch.ones(2), "samples": 40}
    found = measure_effects(TwoPatches(), axes(), between, scales=(scale, scale), positions=(2, -2, 0), **kind)
    # Two sigma of latent 0 are two of the 20 units of the left pixel; of latent 1 one of the left and two of the right.
    expected = torch.tensor([[0.1, 0.0], [0.05, 0.1], [0.0, 0.0]])
    assert found.spans is not None
    torch.testing.assert_close(found.spans, torch.stack([-expected, expected], dim=2), atol=1e-6, rtol=0)
    assert found.span(1, "left") == pytest.approx((-0.05, 0.05), abs=1e-6)
    turned = measure_effects(TwoPatches(), axes(), between, scales=(scale.flip(0), None), **kind)
    assert turned.span(0, "left") == pytest.approx((0.1, -0.1), abs=1e-6)
    assert turned.span(1, "right") is None
    assert turned.spans is not None
    assert bool(turned.spans[:, 1].isnan().all())
    unordered = measure_effects(TwoPatches(), axes(), between, **kind)
    assert unordered.span(0, "left") is None


def test_batches_seed_and_progress() -> None:
    told: list[float] = []

    def measured(seed: int, batch: int) -> Tensor:
        found = measure_effects(
            TwoPatches(), axes(), signs, factors=NAMES, readable=torch.ones(2), samples=9, seed=seed, batch=batch,
            positions=(0.0, 0.5), progress=lambda share, text: told.append(share),
        )  # fmt: skip
        assert found.effects is not None
        return found.effects

    assert torch.equal(measured(0, 64), measured(0, 4))
    assert not torch.equal(measured(0, 64), measured(5, 64))
    assert told[:3] == [0.0, 1 / 3, 2 / 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "at least one sample and a batch of one, got 0"),
        ({"positions": (0.0,)}, "two positions"),
        ({"readable": torch.ones(3)}, "expected readable of 2 factors"),
        ({"noise": torch.tensor([0.0, 1.5])}, "expected noise of 2 factors"),
        ({"scales": (None,)}, "expected a scale, or None, of each of 2 factors, got 1"),
        ({"factors": ("one",), "readable": torch.ones(1)}, "expected a reader of 1 factors, got one of 2"),
    ],
)
def test_bad_input(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_effects(TwoPatches(), axes(), signs, **{"factors": NAMES, "readable": torch.ones(2)} | changes)
