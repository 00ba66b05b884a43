"""``disentangle list``: what it says of every recipe, in terminals of any width."""

import math
from dataclasses import replace

import pytest
from tiny import RECIPES as TINY

from disentangle.apps.cli import main
from disentangle.apps.list import describe, duration, millions
from disentangle.training import estimates
from disentangle.training.estimates import expected_seconds, settings_hash, size_of, timings
from disentangle.training.networks import build_networks
from disentangle.training.recipes import RECIPES


@pytest.mark.parametrize("kind", sorted(TINY))
def test_parameters_are_counted_without_building_them(kind: str) -> None:
    recipe = TINY[kind]
    built = build_networks(recipe, 1, 10)
    counts = [sum(p.numel() for p in network.parameters()) for network in built.values()]
    size = size_of(recipe)
    assert (size.parameters, size.trained) == (counts[0], sum(counts))
    assert size.model == type(next(iter(built.values()))).__name__


def test_published_sizes() -> None:
    """ResNet-50 as torchvision counts it, with a stem of 3×3 instead of 7×7 and 100 instead of 1,000 classes."""
    assert size_of(RECIPES["cifar100-resnet50"]).parameters == 25_557_032 - 900 * 2_049 - 64 * 3 * (49 - 9)


def test_a_time_counts_only_for_the_settings_that_it_was_measured_with(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = TINY["gan"]
    entry = {"settings": settings_hash(recipe), "seconds": 0.5}
    monkeypatch.setattr(estimates, "timings", lambda: {"steps": {"tiny": entry}})
    assert expected_seconds("tiny", recipe) == 3.0
    assert expected_seconds("tiny", replace(recipe, steps=100, seed=1, summary="x", checkpoint_every=7)) == 50.0
    assert expected_seconds("tiny", replace(recipe, data=replace(recipe.data, pictures=9, frame="whole"))) == 3.0
    assert expected_seconds("other", recipe) is None
    for change in ({"batch_size": 9}, {"data": replace(recipe.data, size=64)}, {"precision": "auto"}):
        assert expected_seconds("tiny", replace(recipe, **change)) is None
    assert describe("tiny", recipe)[-1] == "1 min"
    entry["seconds"] = None
    assert expected_seconds("tiny", recipe) == math.inf


def test_the_times_are_of_recipes_that_there_are() -> None:
    assert set(timings()["steps"]) <= set(RECIPES)
    assert timings()["machine"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "?"), (20.0, "1 min"), (89.0, "1 min"), (91.0, "2 min"), (3_590.0, "60 min"), (5_400.0, "1.5 h"),
        (80_000.0, "22 h"), (86_401.0, "GPU"), (math.inf, "GPU"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_of_parameters() -> None:
    assert [millions(n) for n in (12, 4_499, 99_499, 99_501, 3_649_999)] == ["1 k", "4 k", "99 k", "0.1 M", "3.6 M"]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_every_recipe_is_whole_in_terminals_of_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    for name in RECIPES:
        (found,) = [i for i, line in enumerate(lines) if line.split()[:1] == [name]]
        entry = " ".join(" ".join(lines[found : found + 1 + 8 * (width < 118)]).split())
        for cell in describe(name, RECIPES[name]):
            assert cell in entry
        summary = " ".join(RECIPES[name].summary.split()[:2])
        assert (summary in entry) == (width < 118 or width >= 170)
