"""Differences of two reports: paired where they may be, and right about what chance does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from disentangle.apps.evaluation.against import compare, verdict
from disentangle.apps.evaluation.score import Score


def report(scores: list[Score], **changes: Any) -> dict[str, Any]:
    return {
        "run": "a",
        "step": 5,
        "seed": 0,
        "data": {"name": "digits"},
        "scores": [s.to_dict() for s in scores],
    } | changes


def score(value: float, resamples: Any, **changes: Any) -> Score:
    return replace(Score("MIG", "v", value, "higher", (0.0, 1.0), "It.", resamples=tuple(resamples)), **changes)


def test_what_both_have_in_common_drops_out_of_a_paired_difference() -> None:
    rng = np.random.default_rng(0)
    hard, own = rng.normal(0, 0.1, 40), rng.normal(0, 0.001, 40)
    mine, theirs = report([score(0.52, 0.52 + hard + own)]), report([score(0.5, 0.5 + hard)], run="b", step=7)
    found = compare(mine, theirs)
    assert (found["run"], found["step"]) == ("b", 7)
    (row,) = found["scores"]
    assert row["paired"]
    assert row["comparable"]
    assert row["difference"] == pytest.approx(0.02)
    assert row["interval"][1] - 0.02 == pytest.approx(2.0227 * own.std(ddof=1), rel=1e-3)
    assert row["verdict"] == "better"
    (other_seed,) = compare(mine, theirs | {"seed": 1})["scores"]
    assert not other_seed["paired"]
    assert other_seed["interval"][1] - 0.02 == pytest.approx(
        2.0227 * np.hypot((hard + own).std(ddof=1), hard.std(ddof=1)), rel=1e-3
    )
    assert other_seed["verdict"] == "not clear"


def test_scores_of_other_variants_are_shown_and_not_judged() -> None:
    (row,) = compare(report([score(0.9, [0.9, 0.91])]), report([score(0.1, [0.1, 0.11], variant="w")]))["scores"]
    assert (row["comparable"], row["paired"], row["interval"], row["verdict"]) == (False, False, None, "")


def test_a_score_that_one_has_not_is_left_out_and_one_without_resamples_has_no_interval() -> None:
    mine = report([score(0.9, []), score(0.5, [0.5, 0.6], name="SAP")])
    (row,) = compare(mine, report([score(0.1, [])]))["scores"]
    assert (row["name"], row["interval"]) == ("MIG", None)


def test_runs_on_other_data_are_not_judged() -> None:
    mine = report([score(0.9, [0.9, 0.91])])
    (row,) = compare(mine, mine | {"data": {"name": "digits", "content": "other"}})["scores"]
    assert (row["comparable"], row["verdict"]) == (False, "")


@pytest.mark.parametrize(
    ("better", "ends", "words"),
    [
        ("higher", (0.1, 0.2), "better"),
        ("higher", (-0.2, -0.1), "worse"),
        ("lower", (0.1, 0.2), "worse"),
        ("lower", (-0.2, -0.1), "better"),
        ("lower", (-0.1, 0.1), "not clear"),
        ("", (0.1, 0.2), ""),
        ("higher", None, ""),
    ],
)
def test_verdict(better: str, ends: tuple[float, float] | None, words: str) -> None:
    assert verdict(better, ends) == words
