"""Scores that take no labels: the errors of what reads codes off pictures, and how alike several models' codes are."""

import math
from collections.abc import Sequence

from torch import Tensor

from disentangle.apps.evaluation.score import Score
from disentangle.metrics import UDR
from disentangle.training.encoder import EncoderRecord


def score_reconstructions(originals: Tensor, reconstructions: Tensor) -> Score:
    """The mean squared error of a pixel, pictures being in [0, 1], beside that of always answering the mean picture.

    Args:
        originals: uint8 ``(n, c, h, w)``.
        reconstructions: of the same shape.
    """
    truth, answer = originals.double() / 255, reconstructions.double() / 255
    error = float((truth - answer).square().mean())
    return Score(
        name="Reconstruction error",
        variant=f"mean squared error of a pixel between 0 (black) and 1 (white), {len(truth):,} pictures",
        value=error,
        better="lower",
        range=(0.0, None),
        explanation="How much of a picture is lost on the way through its code"
        + (f": a peak signal-to-noise ratio of {-10 * math.log10(error):.1f} dB." if error > 0 else "."),
        baselines={"mean picture": float((truth - truth.mean(dim=0)).square().mean())},
        settings={"samples": len(truth)},
        parts={"psnr": -10 * math.log10(error) if error > 0 else None},
    )


def score_regression(record: EncoderRecord) -> Score:
    """How well the encoder that was trained for a generator knows the codes, beside always answering their mean.

    Args:
        record: what was measured when it was trained, on pictures that it was not trained on.
    """
    return Score(
        name="Regression error",
        variant=f"mean squared error of a code in units of its prior variance, mean over {len(record.mse)} codes, "
        f"{record.settings.test_pictures:,} generated pictures that it was not trained on",
        value=record.mean_mse,
        better="lower",
        range=(0.0, 1.0),
        explanation="How much of the codes the trained encoder cannot read off the pictures: 0 if it reads them all, 1 "
        "if it knows nothing. It may be the encoder's fault, or nothing in the picture that tells.",
        baselines={"prior's mean": 1.0},
        settings={"samples": record.settings.test_pictures, "steps": record.step, "seed": record.settings.seed},
        parts={"mse": list(record.mse), "r2": list(record.r2), "names": list(record.names)},
    )


POINTS = {"turned copies": "rotated", "copies": "perfect", "noise": "noise"}
"""What a report calls UDR's reference points, which are not those of scores with factors."""


def score_siblings(result: UDR, names: Sequence[str], seed: int) -> Score:
    """How well the codes of the first of some models are found again among the others'.

    Args:
        result: of all models.
        names: of the others.
        seed: of the pictures whose codes are compared.
    """
    return Score(
        name="UDR",
        variant=f"{result.variant}; {result.samples[0]:,} codes of {len(names) + 1} models",
        value=float(result.model_scores[0]),
        better="higher",
        range=(0.0, None),
        explanation="How alike the codes of models are that differ in their seed alone, up to order and sign: "
        "disentangled codes are found again, entangled ones differ each time.",
        baselines={name: result.reference_points[point] for name, point in POINTS.items()},
        settings={
            "samples": list(result.samples),
            "models": [*names],
            "learner": result.learner,
            "seed": seed,
        },
        parts={"model_scores": result.model_scores.tolist(), "pairwise": result.pairwise.tolist()},
        notes=tuple(f"{words[:1].upper()}{words[1:]}." for words in result.warnings),
    )
