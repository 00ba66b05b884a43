"""Edits as links: what goes in comes out, and what makes no sense is refused in one line."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disentangle.apps.edit import LONGEST, MOST, REACH, Edit
from disentangle.errors import UserError

NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40).filter(
    lambda name: not set(name) & set("/\\") and name not in (".", "..")
)
AMOUNTS = st.floats(-REACH, REACH, allow_nan=False)
MOVES = st.dictionaries(st.integers(0, 10**6), AMOUNTS, max_size=20).map(lambda moved: tuple(moved.items()))
EDITS = st.builds(
    Edit,
    run=NAMES,
    directions=NAMES,
    coordinates=MOVES,
    seed=st.integers(0, 2**53 - 1),
    truncation=st.floats(0, 2),
    weights=st.text("0123456789abcdef", max_size=64),
    basis=st.text("0123456789abcdef", max_size=64),
)


@given(EDITS)
def test_a_link_means_the_edit_that_it_was_made_of(edit: Edit) -> None:
    query = edit.to_query()
    assert Edit.from_query(query) == edit
    assert Edit.from_query(f"http://127.0.0.1:7860/?{query}&theme=dark#top") == edit
    assert not set(query) & set(" <>\"'\n")


@given(EDITS, NAMES)
def test_a_picture_takes_the_place_of_the_seed(edit: Edit, name: str) -> None:
    of_picture = Edit(edit.run, edit.directions, edit.coordinates, picture=name)
    assert "seed" not in of_picture.to_query()
    assert Edit.from_query(of_picture.to_query()) == of_picture


def test_the_link_is_as_people_write_it() -> None:
    edit = Edit("my run", "weights", ((3, -2.0), (0, 1.5), (7, 0.0)), seed=4, weights="abc")
    assert edit.to_query() == "run=my+run&directions=weights&move=0:1.5,3:-2.0&seed=4&weights=abc"
    assert replace(edit, basis="12").to_query() == edit.to_query() + "&basis=12"
    assert replace(edit, basis="12", coordinates=()) == replace(edit, coordinates=())
    assert Edit.from_query("run=a&move=3:-2,0:1.5") == Edit("a", coordinates=((0, 1.5), (3, -2.0)))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "names no run"),
        ("seed=3", "names no run"),
        ("run=..", "is no name"),
        ("run=+", "names have a letter or a number"),
        ("run=%E2%80%AEgnp", "names have no '\\\\u202e', which nobody sees"),
        ("run=" + "%F0%9F%98%80" * 64, "names have 255 bytes at most, this has 256"),
        ("run=../../etc/passwd", "is no name"),
        ("run=a%2Fb", "is no name"),
        ("run=a%5Cb", "is no name"),
        ("run=a%00b", "is no name"),
        ("run=a%0Ab", "is no name"),
        ("run=a&picture=../../../etc/passwd", "is no name"),
        ("run=a&directions=..", "is no name"),
        (f"run={'a' * 256}", "is no name"),
        ("run=a&move=0:nan", "must lie between"),
        ("run=a&move=0:inf", "must lie between"),
        ("run=a&move=0:1e30", "must lie between"),
        ("run=a&move=0:10.01", "must lie between"),
        ("run=a&move=-1:1", "no direction -1"),
        ("run=a&move=0:1,0:2", "moved twice"),
        ("run=a&move=0", "damaged"),
        ("run=a&move=x:1", "damaged"),
        ("run=a&move=0:1:2", "damaged"),
        ("run=a&seed=-1", "seed must lie between"),
        ("run=a&seed=9223372036854775808", "seed must lie between"),
        ("run=a&seed=9007199254740992", "seed must be at most 9007199254740991"),
        ("run=a&seed=1.5", "damaged"),
        ("run=a&truncation=nan", "truncation must lie between"),
        ("run=a&truncation=2.01", "truncation must lie between"),
        ("run=a&move=" + ",".join(f"{k}:1" for k in range(MOST + 1)), "too many"),
        ("run=a&x=" + "x" * LONGEST, "too long"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(query: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        Edit.from_query(query)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
