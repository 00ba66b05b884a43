"""The scores of a report are those of the metrics, and their reference points are where they must be."""

import math

import numpy as np
import pytest
import torch

from disentangle.apps.evaluation.errors import score_reconstructions
from disentangle.apps.evaluation.pictures import PICTURES
from disentangle.apps.evaluation.score import Labelled, Score, named
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.suite import ALIASES, CODES, ERRORS, STANDARD, select
from disentangle.data import load
from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import dci, interval, mig, rotated

SETTINGS = Settings()


@pytest.fixture(scope="module")
def perfect_sprites() -> Labelled:
    """An encoder that reads a sprite's factors off without an error, and has a constant code besides."""
    sprites = load("sprites", size=32)
    chosen = torch.randperm(len(sprites), generator=torch.Generator().manual_seed(1))[:3_000]
    factors = sprites.factors(chosen).numpy()
    codes = np.concatenate([-0.5 * factors[:, ::-1], np.ones((len(factors), 1))], axis=1)
    return Labelled(codes, factors, 2_000, sprites.factor_names)


def few(labelled: Labelled, n: int = 600, train: int = 400) -> Labelled:
    """Fewer rows, of the three first factors, with a little noise in their codes."""
    codes = labelled.codes[:n, 2:] + 0.3 * np.random.default_rng(0).standard_normal((n, 4))
    return Labelled(codes, labelled.factors[:n, :3] % 4, train, labelled.names[:3])


def test_perfect_codes_reach_the_perfect_reference_point(perfect_sprites: Labelled) -> None:
    (score,) = CODES["mig"].scores(perfect_sprites, SETTINGS)
    assert score.value == pytest.approx(score.baselines["perfect"], abs=0.02)
    assert score.value > 0.8
    assert score.value > score.baselines["rotated"] + 10 * score.spreads["rotated"]
    assert score.baselines["noise"] < 0.01
    low, high = score.interval or (1.0, 0.0)
    assert low < score.value < high
    assert high - low < 0.05


def test_mig_is_that_of_the_training_codes_alone(perfect_sprites: Labelled) -> None:
    (score,) = CODES["mig"].scores(perfect_sprites, SETTINGS)
    codes, factors = perfect_sprites.codes[:2_000], perfect_sprites.factors[:2_000]
    with pytest.warns(DisentangleWarning):
        direct = mig(codes, factors)
    assert score.value == direct.score
    assert score.parts["mutual_information"] == direct.mutual_information.tolist()
    assert score.parts["entropy"] == direct.entropy.tolist()
    assert score.interval == interval(direct.score, [half.score for half in direct.halves])
    assert list(score.resamples) == [half.score for half in direct.halves]
    with pytest.warns(DisentangleWarning):
        turned = [mig(rotated(codes, seed), factors).score for seed in range(3)]
    assert score.baselines["rotated"] == pytest.approx(np.mean(turned))
    assert score.spreads["rotated"] == pytest.approx(np.std(turned, ddof=1))


def test_its_notes_name_the_factors(perfect_sprites: Labelled) -> None:
    (score,) = CODES["mig"].scores(perfect_sprites, SETTINGS)
    assert any("Factors orientation, x and y take 32 to 40 values" in note for note in score.notes)
    assert any("Code 5 is constant" in note for note in score.notes)
    assert not any("shape" in note for note in score.notes)


def test_dci_has_three_numbers_of_one_result(perfect_sprites: Labelled) -> None:
    labelled = few(perfect_sprites)
    scores = CODES["dci"].scores(labelled, SETTINGS)
    direct = dci(*labelled.split)
    assert [s.name for s in scores] == ["DCI disentanglement", "DCI completeness", "DCI informativeness"]
    assert [s.value for s in scores] == [direct.disentanglement, direct.completeness, direct.informativeness]
    assert scores[0].parts["importance"] == direct.importance.tolist()
    assert not scores[1].parts
    for score in scores[:2]:
        assert score.baselines["perfect"] > score.value > score.baselines["rotated"] + 0.1
        assert score.spreads["rotated"] > 0
        assert score.interval is not None
        assert score.interval[0] < score.value < score.interval[1]
    assert [half.completeness for half in direct.halves] == list(scores[1].resamples)


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_score_has_its_number_interval_reference_points_and_words(name: str, perfect_sprites: Labelled) -> None:
    scores = CODES[name].scores(few(perfect_sprites, 300, 200), SETTINGS)
    for score in scores:
        least, greatest = score.range
        assert (-math.inf if least is None else least) <= score.value <= (math.inf if greatest is None else greatest)
        assert set(score.baselines) == {"perfect", "rotated", "noise"}
        assert all(math.isfinite(value) for value in score.baselines.values())
        assert score.interval is not None
        assert score.interval[0] <= score.value <= score.interval[1]
        assert len(score.resamples) > 1
        assert score.explanation.endswith(".")
        assert Score.from_dict(score.to_dict()) == score


def test_the_seed_decides_everything(perfect_sprites: Labelled) -> None:
    labelled = few(perfect_sprites)
    assert CODES["mig"].scores(labelled, Settings(seed=3)) == CODES["mig"].scores(labelled, Settings(seed=3))
    other = CODES["mig"].scores(labelled, Settings(seed=4))[0]
    assert CODES["mig"].scores(labelled, Settings(seed=3))[0].baselines["noise"] != other.baselines["noise"]


def test_suites_and_names_can_be_mixed() -> None:
    assert select(("standard",)) == set(STANDARD) == {"mig", "dci", "frechet", *ERRORS}
    assert select(("mig",)) == {"mig"}
    assert select(("mig", "codes")) == {*CODES, *ERRORS}
    assert select(("full",)) == {*CODES, *PICTURES, *ERRORS}
    with pytest.raises(UserError, match="did you mean mig"):
        select(("migg",))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vp", "variation"),
        ("PPL", "path-length"),
        ("fid", "frechet"),
        ("kid", "kernel"),
        ("MIG", "mig"),
        ("beta_vae", "beta-vae"),
        ("all", "full"),
        ("Recall", "precision-recall"),
        ("UDR", "--siblings"),
    ],
)
def test_a_name_from_elsewhere_is_answered_with_the_one_here(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"(did you mean {meant}\\?|{meant} RUN)"):
        select((name,))
    assert set(ALIASES.values()) <= {*CODES, *PICTURES, *ERRORS, "full", "standard"}
    assert not set(ALIASES) & {*CODES, *PICTURES, *ERRORS}


def test_a_warning_becomes_a_sentence_about_the_factors() -> None:
    assert named("factor 1 is constant", ["a", "hue"]) == "Factor hue is constant."
    assert named("factor 1 is constant", ["factor 0", "factor 1"]) == "Factor 1 is constant."
    names = ["floor", "wall", "object", "scale", "shape", "factor 5"]
    assert named("factors 0 and 5 are", names) == "Factors floor and 5 are."
    assert named("few for factors 1, 2 and 3, of 4 to 15 values", names) == (
        "Few for factors wall, object and scale, of 4 to 15 values."
    )
    assert named("factors 0, 1, 2, 3, 4 and 5 take 10 values and codes have 5 bins", names) == (
        "Factors floor, wall and 4 more take 10 values and codes have 5 bins."
    )
    assert (
        named("60 samples are few for factor 12, of 3 values", ["a"])
        == "60 samples are few for factor 12, of 3 values."
    )


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
