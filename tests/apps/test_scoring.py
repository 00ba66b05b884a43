"""The scores of a report are those of the metrics, and their reference points are where they must be."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from disentangle.apps.evaluation.scoring import (
    Labelled,
    notes_on,
    score_dci,
    score_mig,
    score_pictures,
    score_reconstructions,
)
from disentangle.data import load
from disentangle.errors import DisentangleWarning
from disentangle.metrics import dci, frechet_distance, mig


class Corners:
    """Features that a reader can check: the means of a picture's four quarters."""

    name = "corners"

    def __call__(self, images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


@pytest.fixture(scope="module")
def perfect_sprites() -> Labelled:
    """An encoder that reads a sprite's factors off without an error, and has a constant code besides."""
    sprites = load("sprites", size=32)
    chosen = torch.randperm(len(sprites), generator=torch.Generator().manual_seed(1))[:3_000]
    factors = sprites.factors(chosen).numpy()
    codes = np.concatenate([-0.5 * factors[:, ::-1], np.ones((len(factors), 1))], axis=1)
    return Labelled(codes, factors, 2_000, sprites.factor_names)


def test_perfect_codes_reach_the_perfect_reference_point(perfect_sprites: Labelled) -> None:
    score = score_mig(perfect_sprites, seed=0)
    assert score.value == pytest.approx(score.baselines["perfect"], abs=0.02)
    assert score.value > 0.8
    assert score.value > score.baselines["rotated"] + 10 * score.spreads["rotated"]
    assert score.baselines["noise"] < 0.01
    low, high = score.interval or (1.0, 0.0)
    assert low < score.value < high
    assert high - low < 0.05


def test_mig_is_that_of_the_training_codes_alone(perfect_sprites: Labelled) -> None:
    score = score_mig(perfect_sprites, seed=0)
    with pytest.warns(DisentangleWarning):
        direct = mig(perfect_sprites.codes[:2_000], perfect_sprites.factors[:2_000])
    assert score.value == direct.score
    assert score.parts["mutual_information"] == direct.mutual_information.tolist()
    assert score.parts["entropy"] == direct.entropy.tolist()


def test_dci_is_a_direct_call_and_tells_perfect_from_rotated(perfect_sprites: Labelled) -> None:
    few = Labelled(perfect_sprites.codes[:900, 2:5], perfect_sprites.factors[:900, :3], 600, ("shape", "scale", "turn"))
    scores = score_dci(few, learner="random_forest", seed=0, rotations=2)
    direct = dci(few.codes[:600], few.factors[:600], few.codes[600:], few.factors[600:], learner="random_forest")
    assert [s.name for s in scores] == ["DCI disentanglement", "DCI completeness", "DCI informativeness"]
    values = [direct.disentanglement, direct.completeness, direct.informativeness]
    assert [s.value for s in scores] == values
    assert scores[0].parts["importance"] == direct.importance.tolist()
    for score in scores[:2]:
        assert score.value == pytest.approx(score.baselines["perfect"], abs=0.05)
        assert score.value > score.baselines["rotated"] + 0.3
        assert score.spreads["rotated"] > 0
    assert scores[2].baselines["noise"] < 0.4 < 0.8 < scores[2].value


def test_the_seed_decides_everything(perfect_sprites: Labelled) -> None:
    few = Labelled(perfect_sprites.codes[:300], perfect_sprites.factors[:300], 200, perfect_sprites.names)
    assert score_mig(few, seed=3) == score_mig(few, seed=3)
    assert score_mig(few, seed=3).baselines["noise"] != score_mig(few, seed=4).baselines["noise"]


def test_frechet_distance_is_a_direct_call() -> None:
    draw = torch.Generator().manual_seed(0)
    generated, real, other = (torch.randint(0, high, (60, 3, 8, 8), generator=draw).byte() for high in (200, 256, 256))
    real[..., :4] //= 2  # so that where a pixel is matters
    other[..., :4] //= 2
    score = score_pictures(Corners(), generated, real, other, seed=0)

    def distance(images: Tensor) -> float:
        return frechet_distance(Corners()(images / 127.5 - 1), Corners()(real / 127.5 - 1)).score

    assert score.value == pytest.approx(distance(generated), rel=1e-5)
    assert score.baselines["other data"] == pytest.approx(distance(other), rel=1e-5)
    assert score.baselines["other data"] < 0.2 * score.value
    # From a single picture: the distance of the means, and the whole variance of the data.
    features = Corners()(real / 127.5 - 1).double()
    mean = Corners()(real.double().mean(0, keepdim=True).round() / 127.5 - 1)
    ceiling = (features.mean(0) - mean).square().sum() + features.var(dim=0).sum()
    assert score.baselines["mean picture"] == pytest.approx(float(ceiling), rel=1e-5)
    assert "corners" in score.variant
    assert score.settings["samples"] == 60


def test_reconstruction_error_by_hand() -> None:
    originals = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    originals[2:] = 255
    score = score_reconstructions(originals, (originals.int() - 51).abs().byte())
    assert score.value == pytest.approx(0.04)
    assert score.parts["psnr"] == pytest.approx(10 * math.log10(25))
    assert score.baselines == {"mean picture": pytest.approx(0.25)}
    perfect = score_reconstructions(originals, originals)
    assert perfect.value == 0
    assert perfect.parts["psnr"] is None


def test_notes_name_what_is_wrong_with_the_factors() -> None:
    factors = np.stack([np.arange(90) % 30, np.arange(90) % 2, np.zeros(90, dtype=int)], axis=1)
    notes = notes_on(Labelled(np.zeros((90, 2)), factors, 60, ("hue", "side", "still")), bins=20)
    assert any("hue (30)" in note and "side" not in note for note in notes)
    assert any("still" in note and "hue" not in note for note in notes)
    assert any("60 codes are few" in note for note in notes)
    single = notes_on(Labelled(np.zeros((5_000, 2)), factors[:1].repeat(5_000, 0), 4_000, ("a", "b", "c")), bins=20)
    assert not any("single factor" in note for note in single)
    one = notes_on(Labelled(np.zeros((4_000, 2)), (np.arange(4_000) % 10)[:, None], 4_000, ("digit",)), bins=20)
    assert one == ["With a single factor DCI's disentanglement is 1 whatever the codes: it says nothing here."]
