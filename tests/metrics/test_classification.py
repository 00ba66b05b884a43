"""Scores of a classifier against closed forms, brute force and scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from disentangle.metrics import (
    accuracy,
    calibration_error,
    confidences,
    confusion_matrix,
    negative_log_likelihood,
    reliability,
    wilson_interval,
)

EVERY = (accuracy, confusion_matrix, negative_log_likelihood, calibration_error)
Case = tuple[NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture(params=[(400, 10), (57, 3), (9, 7), (1, 2)], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """Random logits of an able classifier, not all classes equally frequent."""
    n, k = request.param
    draw = np.random.default_rng(n)
    labels = np.minimum(draw.integers(0, k, n), draw.integers(0, k, n))
    logits = 2 * draw.standard_normal((n, k))
    logits[np.arange(n), labels] += 2
    return logits, labels


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits)
    return weights / weights.sum(1, keepdims=True)


def test_accuracy_is_scikit_learns(case: Case) -> None:
    logits, labels = case
    k = logits.shape[1]
    for top in range(1, k):
        expected = top_k_accuracy_score(
            labels, logits if k > 2 else logits[:, 1] - logits[:, 0], k=top, labels=range(k)
        )
        assert float(accuracy(logits, labels, top=top)) == pytest.approx(expected)
    assert accuracy(logits, labels, top=k).correct == len(labels)


def test_equal_logits_answer_with_the_first_class() -> None:
    logits = np.zeros((4, 3))
    labels = np.array([0, 1, 2, 0])
    assert accuracy(logits, labels).correct == 2
    assert accuracy(logits, labels, top=2).correct == 3
    assert confusion_matrix(logits, labels).matrix[:, 0].tolist() == [2, 1, 1]


@pytest.mark.parametrize(("correct", "samples"), [(0, 10), (10, 10), (1, 1), (81, 100), (9_321, 10_000)])
def test_the_interval_is_wilsons(correct: int, samples: int) -> None:
    expected = binomtest(correct, samples).proportion_ci(0.95, method="wilson")
    assert wilson_interval(correct, samples) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_covers_what_it_says() -> None:
    draws = np.random.default_rng(0).binomial(200, 0.9, 4_000)
    ends = [wilson_interval(int(correct), 200) for correct in draws]
    assert np.mean([low <= 0.9 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.015)


def test_the_accuracy_carries_its_interval() -> None:
    result = accuracy(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 0, 0]))
    assert (result.correct, result.samples, result.score) == (3, 4, 0.75)
    assert (result.low, result.high) == wilson_interval(3, 4)


def test_the_confusion_matrix_is_scikit_learns(case: Case) -> None:
    logits, labels = case
    result = confusion_matrix(logits, labels)
    assert (result.matrix == sklearn_confusion(labels, logits.argmax(1), labels=range(logits.shape[1]))).all()
    with np.errstate(all="ignore"):
        assert result.score == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))


def test_recall_and_precision_of_classes_that_do_not_occur() -> None:
    #  true 0: twice right, once taken for 2; true 1: taken for 2; 2 never occurs
    answers, labels = np.array([0, 0, 2, 2]), np.array([0, 0, 0, 1])
    result = confusion_matrix(np.eye(4)[answers], labels)
    assert result.recall == pytest.approx([2 / 3, 0, 0, 0])
    assert result.precision == pytest.approx([1, 0, 0, 0])
    assert result.score == pytest.approx(1 / 3)


def test_the_likelihood_is_scikit_learns_and_any_shift_of_the_logits(case: Case) -> None:
    logits, labels = case
    expected = log_loss(labels, softmax(logits), labels=range(logits.shape[1]))
    assert negative_log_likelihood(logits, labels).score == pytest.approx(expected)
    assert negative_log_likelihood(np.log(softmax(logits)), labels).score == pytest.approx(expected)
    assert negative_log_likelihood(logits + 1e3, labels).score == pytest.approx(expected)


def test_the_likelihood_of_a_surely_wrong_answer_is_exact() -> None:
    result = negative_log_likelihood(np.array([[2_000.0, 0.0], [0.0, 0.0]]), np.array([1, 0]))
    assert result.mean == pytest.approx((2_000 + math.log(2)) / 2)
    assert result.error == pytest.approx((2_000 - math.log(2)) / 2)  # the standard error of two values


def test_the_calibration_error_by_brute_force(case: Case) -> None:
    logits, labels = case
    belief = softmax(logits)
    sure, right = belief.max(1), belief.argmax(1) == labels
    for bins in (1, 4, 15):
        expected = 0.0
        for m in range(bins):
            inside = (sure > m / bins) & (sure <= (m + 1) / bins)
            if inside.any():
                expected += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
        result = calibration_error(logits, labels, bins)
        assert result.score == pytest.approx(expected)
        assert result.counts.sum() == len(labels)
        assert result.gap == pytest.approx(sure.mean() - right.mean())


def test_the_reliability_table() -> None:
    sure = np.array([0.2, 0.2, 0.4, 0.9, 0.8])  # with five bins, 0.2, 0.4 and 0.8 lie on edges
    right = np.array([True, False, True, True, False])
    table = reliability(sure, right, bins=5)
    assert table.edges == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert table.counts.tolist() == [2, 1, 0, 1, 1]
    assert table.confidence == pytest.approx([0.2, 0.4, 0, 0.8, 0.9])
    assert table.accuracy == pytest.approx([0.5, 1, 0, 0, 1])
    assert table.score == pytest.approx((2 * 0.3 + 0.6 + 0.8 + 0.1) / 5)
    assert table.gap == pytest.approx(2.5 / 5 - 3 / 5)


def test_calibrated_answers_have_a_small_error_and_swollen_ones_a_large_one() -> None:
    draw = np.random.default_rng(1)
    logits = 2 * draw.standard_normal((50_000, 5))
    belief = softmax(logits)
    labels = (belief.cumsum(1) < draw.uniform(size=(50_000, 1))).sum(1)
    calm, loud = calibration_error(logits, labels), calibration_error(3 * logits, labels)
    assert calm.score < 0.01 < 0.15 < loud.score
    assert abs(calm.gap) < 0.01
    assert loud.gap == pytest.approx(loud.score, abs=0.01)  # too sure in every bin


def test_a_single_class_is_known_surely() -> None:
    logits, labels = np.array([[3.0], [-1.0]]), np.array([0, 0])
    assert [float(metric(logits, labels)) for metric in EVERY] == [1, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_every_precision_count_as_their_values(case: Case, dtype: torch.dtype) -> None:
    logits, labels = torch.from_numpy(case[0]).to(dtype), torch.from_numpy(case[1])
    for metric in EVERY:
        assert float(metric(logits.requires_grad_(), labels)) == float(metric(logits.double(), labels.numpy()))


def test_results_are_json() -> None:
    logits, labels = np.eye(3), np.array([0, 1, 1])
    for metric in EVERY:
        result = metric(logits, labels)
        entries = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert entries["score"] == result.score == float(result)
        assert entries["variant"] == result.variant


def test_confidences() -> None:
    sure, answers = confidences(np.log([[0.25, 0.75], [0.9, 0.1]]), np.array([0, 0]))
    assert sure == pytest.approx([0.75, 0.9])
    assert answers.tolist() == [1, 0]


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "non-empty"),
        (np.zeros((2, 0)), np.zeros(2, int), "non-empty"),
        (np.array([[0.0, np.nan]]), np.array([0]), "finite"),
        (np.array([[0.0, np.inf]]), np.array([0]), "finite"),
        (np.zeros((2, 3)), np.array([0]), r"shape \(2,\)"),
        (np.zeros((2, 3)), np.array([[0], [1]]), r"shape \(2,\)"),
        (np.zeros((2, 3)), np.array([0, 3]), "0 … 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "0 … 2"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), "integers"),
    ],
)
def test_bad_input(metric: object, logits: NDArray[np.float64], labels: NDArray[np.int64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(logits, labels)  # type: ignore[operator]


def test_bad_settings() -> None:
    logits, labels = np.zeros((2, 2)), np.array([0, 1])
    with pytest.raises(ValueError, match="top must be at least 1"):
        accuracy(logits, labels, top=0)
    with pytest.raises(ValueError, match="bins must be at least 1"):
        calibration_error(logits, labels, bins=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(ValueError, match="as many answers"):
        reliability(np.array([0.2, 0.3]), np.array([True]))
    for correct, samples in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="correct"):
            wilson_interval(correct, samples)
