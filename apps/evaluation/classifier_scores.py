"""The scores of a classifier's report, from logits and labels, and what its page shows besides."""

import numpy as np
from numpy.typing import NDArray

from disentangle.apps.evaluation.score import Json, Score, parts_of
from disentangle.metrics import (
    accuracy,
    calibration_error,
    confidences,
    confusion_matrix,
    negative_log_likelihood,
    reliability,
)
from disentangle.metrics.classification import Z

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TOP = 5

DRAWS = 100
"""Random draws of a well calibrated classifier's answers."""

WORST = 20
"""Confusions that are listed."""


def score_classifier(logits: Floats, labels: Integers, *, seed: int) -> list[Score]:
    """Accuracy, top-5 accuracy where there are more than five classes, likelihood and calibration.

    Args:
        logits: ``(n, k)``.
        labels: ``(n,)``.
        seed: of the reference point of calibration.
    """
    tops = [1, TOP] if logits.shape[1] > TOP else [1]
    return [
        *(_score_accuracy(logits, labels, top) for top in tops),
        _score_likelihood(logits, labels),
        _score_calibration(logits, labels, seed),
    ]


def _score_accuracy(logits: Floats, labels: Integers, top: int) -> Score:
    result = accuracy(logits, labels, top)
    n, k = logits.shape
    frequent = np.sort(np.bincount(labels, minlength=k))[::-1][:top].sum() / n
    beside = "most frequent class" if top == 1 else "most frequent classes"
    return Score(
        name="Accuracy" if top == 1 else f"Top-{top} accuracy",
        variant=f"{result.variant}, {n:,} pictures of {k} classes, 95 % interval by Wilson's score",
        value=result.score,
        better="higher",
        range=(0.0, 1.0),
        explanation="How often its answer is right."
        if top == 1
        else f"How often the right class is among its {top} best answers.",
        baselines={beside: float(frequent), "chance": top / k},
        interval=(result.low, result.high),
        settings={"samples": n, "classes": k, "top": top},
        parts={"correct": result.correct},
    )


def _score_likelihood(logits: Floats, labels: Integers) -> Score:
    result = negative_log_likelihood(logits, labels)
    n, k = logits.shape
    shares = np.bincount(labels, minlength=k) / n
    entropy = -float(np.sum(shares[shares > 0] * np.log(shares[shares > 0])))
    return Score(
        name="Negative log-likelihood",
        variant=f"{result.variant}, {n:,} pictures, 95 % interval by the standard error",
        value=result.score,
        better="lower",
        range=(0.0, None),
        explanation="How surprised it is by the right class: 0 if it is always sure of it. A sure mistake costs most.",
        baselines={"class frequencies": abs(entropy), "chance": float(np.log(k))},
        interval=(max(0.0, result.mean - Z * result.error), result.mean + Z * result.error),
        unit=" nats",
        settings={"samples": n, "classes": k},
        parts=parts_of(result),
    )


def _score_calibration(logits: Floats, labels: Integers, seed: int) -> Score:
    result = calibration_error(logits, labels)
    sure, answers = confidences(logits, labels)
    by_chance = calibrated(sure, seed)
    where = "above" if result.gap > 0 else "below"
    return Score(
        name="Calibration error",
        variant=f"expected calibration error, {result.variant}, {len(labels):,} pictures",
        value=result.score,
        better="lower",
        range=(0.0, 1.0),
        explanation="How far its confidence is from how often it is right: 0 if of the answers it gives with 80 % "
        f"confidence 80 % are right. On average it is {100 * abs(result.gap):.1f} points {where} its accuracy.",
        baselines={"well calibrated": float(by_chance.mean()), "always sure": float(np.mean(answers != labels))},
        spreads={"well calibrated": float(by_chance.std(ddof=1))},
        settings={"samples": len(labels), "bins": len(result.counts), "seed": seed, "draws": DRAWS},
        parts=parts_of(result),
    )


def calibrated(sure: Floats, seed: int) -> Floats:
    """The calibration errors ``(DRAWS,)`` of answers that are right exactly as often as they are sure, which is chance.

    Args:
        sure: ``(n,)``, the confidences.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed)
    return np.array([reliability(sure, draw.uniform(size=len(sure)) < sure).score for _ in range(DRAWS)])


def confusions(logits: Floats, labels: Integers, names: tuple[str, ...]) -> Json:
    """Which class is taken for which: the counts, recall and precision, and the most frequent confusions."""
    result = confusion_matrix(logits, labels)
    wrong = result.matrix * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    totals = result.matrix.sum(axis=1)
    worst = [
        {"true": names[i], "answer": names[j], "count": int(wrong[i, j]), "share": float(wrong[i, j] / totals[i])}
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]
    return {
        "counts": result.matrix.tolist(),
        "recall": result.recall.tolist(),
        "precision": result.precision.tolist(),
        "mean_recall": result.score,
        "worst": worst,
    }


def mistakes(logits: Floats, labels: Integers, names: tuple[str, ...], count: int) -> list[Json]:
    """The ``count`` wrong answers of which it was surest, the surest first: where, what was true, what it said."""
    sure, answers = confidences(logits, labels)
    wrong = np.flatnonzero(answers != labels)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    return [
        {"index": int(i), "true": names[labels[i]], "answer": names[answers[i]], "confidence": float(sure[i])}
        for i in chosen
    ]
