"""What directions say of themselves: rank, doubts, names, and whose they are."""

import dataclasses
import math

import pytest
import torch

from disentangle.directions import Directions, discover, measure_activeness
from disentangle.directions.file import MEASURED, TENSORS
from disentangle.errors import UserError
from tests.directions.known import made
from tests.fakes import LinearGenerator


@pytest.fixture
def directions() -> Directions:
    return made(torch.eye(5), [9.0, 4.0, 4.0, 2.0, 1.0], layers=("a", "a", "b", "b", "b"))


def measured(directions: Directions, **values: list[float]) -> Directions:
    return dataclasses.replace(directions, **{name: torch.tensor(value) for name, value in values.items()})  # type: ignore[arg-type]


def test_the_dataclass_refuses_what_does_not_fit(directions: Directions) -> None:
    for change in (
        {"vectors": directions.vectors * 2},
        {"vectors": directions.vectors * math.nan},
        {"vectors": directions.vectors[:0]},
        {"vectors": directions.vectors[0]},
        {"sigma": directions.sigma[:1]},
        {"singular_values": directions.singular_values[:, None]},
        {"activeness": torch.zeros(4)},
        {"effects": torch.zeros(5, 2)},
        {"effects": torch.zeros(5, 2), "factors": ("hue",)},
        {"readable": torch.zeros(1)},
        {"layers": directions.layers[:1]},
        {"names": ("x",)},
        {"notes": ("x",)},
    ):
        with pytest.raises(ValueError, match="expected"):
            dataclasses.replace(directions, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*TENSORS[1:], *MEASURED])
def test_the_dataclass_refuses_numbers_that_are_none(directions: Directions, name: str) -> None:
    filled = dataclasses.replace(
        directions, factors=("hue",), **{name: torch.ones(5) for name in MEASURED[:5]},
        effects=torch.ones(5, 1), spans=torch.ones(5, 1, 2), readable=torch.ones(1),
    )  # fmt: skip
    for value in (math.nan, -math.inf, math.inf):
        wrong = getattr(filled, name).clone()
        wrong[-1] = value
        if (name, value) == ("gaps", math.inf):
            assert dataclasses.replace(filled, gaps=wrong).gaps[-1] == math.inf
            continue
        if name == "spans" and math.isnan(value):
            assert dataclasses.replace(filled, spans=wrong).span(4, "hue") is None
            wrong[0, 0, 0] = value  # without the other one
            with pytest.raises(ValueError, match="expected spans of finite numbers, got 1 of 10 that are not"):
                dataclasses.replace(filled, spans=wrong)
            continue
        count = "2 of 10" if name == "spans" else "1 of [15]"
        with pytest.raises(ValueError, match=f"expected {name} of finite numbers, got {count} that are not"):
            dataclasses.replace(filled, **{name: wrong})  # type: ignore[arg-type]


def test_ranking_counts_doubtful_ones_for_a_quarter_and_puts_still_ones_last(directions: Directions) -> None:
    assert directions.repeated.tolist() == [False, True, True, False, False]
    assert directions.ranking() == [0, 3, 1, 2, 4], "5, 1, 2/4, 2/4 and 0.5, the larger ones of as much first"
    active = measured(directions, activeness=[0.009, 1.0, 0.5, 0.2, 0.3])
    assert active.still.tolist() == [True, False, False, False, False]
    assert active.ranking() == [4, 1, 3, 2, 0]
    assert active.ranking(2) == [4, 1]
    unstable = measured(active, stability=[0.0, 0.0, 0.0, 0.0, 31.0])
    assert unstable.unstable.tolist() == [False] * 4 + [True]
    assert unstable.ranking() == [1, 3, 2, 4, 0]
    seeds = measured(unstable, seed_stability=[0.0, 0.0, 0.0, 30.5, 0.0])
    assert seeds.unstable.tolist() == [False] * 3 + [True, True]
    blurred = measured(active, errors=[0.0, 0.0, 0.0, 0.0, 0.04])
    assert (blurred.gaps[4] > 0.08, blurred.unresolved.tolist()) == (True, [False] * 4 + [True])
    assert blurred.ranking() == [1, 3, 2, 4, 0]
    mixed = dataclasses.replace(active, factors=("hue", "size"), effects=torch.tensor([[1.0, 0.0]] * 4 + [[0.3, 0.3]]))
    assert mixed.ranking()[:3] == [1, 3, 4], "0.2 pure comes before 0.3 of half the purity"


def test_purity_counts_only_where_a_factor_is_moved(directions: Directions) -> None:
    plain = made(torch.eye(5), activeness=torch.tensor([0.1, 0.2, 0.3, 0.9, 0.5]), factors=("hue", "size"))
    effects = torch.zeros(5, 2)
    assert dataclasses.replace(plain, effects=effects).ranking() == [3, 4, 2, 1, 0]
    effects[0, 0] = 0.02  # next to nothing
    assert dataclasses.replace(plain, effects=effects).ranking() == [3, 4, 2, 1, 0]
    effects[3] = 0.4  # 0.9 of half the purity comes after 0.5 of which nothing is known, and before 0.3
    assert dataclasses.replace(plain, effects=effects).ranking() == [4, 3, 2, 1, 0]
    effects[4] = torch.tensor([0.9, 0.1])
    even = dataclasses.replace(plain, effects=effects, activeness=torch.tensor([0.1, 0.2, 0.25, 0.5, 0.2]))
    assert even.ranking() == [3, 2, 1, 4, 0], "of as much the more active one comes first"


def test_nothing_active_is_all_still(directions: Directions) -> None:
    assert measured(directions, activeness=[0.0] * 5).still.all()
    assert not directions.still.any()
    assert not directions.unstable.any()


def test_layers_that_do_nothing_are_named() -> None:
    found = made(torch.eye(4), [1.0] * 4, layers=("b", "a", "b", "c"), shares=torch.tensor([0.5, 1.0, 0.5, 1.0]))
    assert found.collapsed == ()
    still = measured(found, activeness=[0.0, 1.0, 0.009, 0.011])
    assert still.collapsed == ("b",)
    assert measured(found, activeness=[0.0] * 4).collapsed == ("b", "a", "c")


def test_a_layer_some_of_whose_directions_are_not_here_may_be_active() -> None:
    generator = LinearGenerator()
    every = discover(generator, "subspace")  # scales 9, 6, 3 and 8.5, 5.5, 2.5 in turn
    active = measured(every, activeness=[1.0, 0.0, 1.0, 0.5, 1.0, 0.5])
    assert active.collapsed == ()
    assert active.take([0, 1, 2]).collapsed == ()
    dead = measured(every, activeness=[1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    assert dead.collapsed == ("layer 2",)
    assert dead.take([0, 1, 2, 3]).collapsed == (), "nobody knows"
    assert dead.take([0, 1, 3, 5]).collapsed == ("layer 2",), "which is here as a whole"
    with torch.no_grad():
        generator.subspaces[1].scale.zero_()
    silent = measure_activeness(generator, discover(generator, "subspace"), samples=2)
    assert silent.shares.sum() == pytest.approx(1.0), "without a response there are no shares"
    assert silent.collapsed == ("layer 2",)


def test_purity_and_what_is_moved(directions: Directions) -> None:
    assert directions.purity is None
    assert directions.moves == ("",) * 5
    effects = torch.tensor([[0.6, 0.2], [0.0, 0.5], [0.1, 0.1], [0.0, 0.0], [0.0, 0.3]])
    known = dataclasses.replace(directions, factors=("hue", "size"), effects=effects)
    torch.testing.assert_close(known.purity, torch.tensor([0.75, 1.0, 0.5, 0.0, 1.0]))
    assert known.moves[:2] == ("hue", "size")
    still = measured(known, activeness=[1.0, 1.0, 1.0, 1.0, 0.0])
    assert still.moves[4] == ""


def test_doubts_in_words(directions: Directions) -> None:
    doubtful = measured(
        directions,
        stability=[0.0, 0.0, 44.6, 0.0, 30.0],
        seed_stability=[0.0, 0.0, 60.0, 0.0, 0.0],
        activeness=[1.0, 1.0, 0.001, 1.0, 1.0],
    )
    assert [len(doubtful.doubts(k)) for k in range(5)] == [0, 1, 4, 0, 0]
    assert doubtful.doubts(2) == (
        "repeated: its axes are arbitrary",
        "other samples turn it by 45°",
        "another seed turns it by 60°",
        "hardly changes the picture",
    )


def test_labels_names_and_notes(directions: Directions) -> None:
    assert directions.labels == ("a · #1", "a · #2", "b · #1", "b · #2", "b · #3")
    named = directions.rename(1, " hue ", "warm").rename(3, note=" cold ").rename(1, note="")
    assert named.names == ("", "hue", "", "", "")
    assert named.notes == ("", "", "", "cold", "")
    assert named.labels[1:3] == ("hue", "b · #1")
    assert directions.names == directions.notes == ("",) * 5
    assert named.rename(1, "").labels == directions.labels


def test_take_keeps_everything_of_those_taken(directions: Directions) -> None:
    full = dataclasses.replace(
        directions.rename(4, "x", "y"),
        factors=("hue", "size"),
        readable=torch.ones(2),
        **{name: torch.arange(5.0) for name in MEASURED[:5]},  # type: ignore[arg-type]
        effects=torch.arange(10.0).view(5, 2),
        spans=torch.arange(20.0).view(5, 2, 2),
    )
    some = full.take([4, 1, 4])
    assert some.vectors.argmax(1).tolist() == [1, 4]
    for name in (*TENSORS, *MEASURED[:-1]):
        assert torch.equal(getattr(some, name), getattr(full, name)[[1, 4]]), name
    assert some.readable.tolist() == [1.0, 1.0]
    assert (some.layers, some.names, some.notes) == (("a", "b"), ("", "x"), ("", "y"))
    assert directions.take([0]).activeness is None


def test_directions_of_other_weights_are_refused(directions: Directions) -> None:
    mine = dataclasses.replace(directions, weights="a" * 64)
    mine.check_weights("a" * 64, "runs/x")
    mine.check_weights("", "runs/x")
    directions.check_weights("b" * 64, "runs/x")
    with pytest.raises(
        UserError, match=r"other weights \(a{12}\) than runs/x has \(b{12}\).*disentangle discover runs/x"
    ):
        mine.check_weights("b" * 64, "runs/x")
