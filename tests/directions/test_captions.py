"""Texts on pictures are cut where they must be, and in no time."""

import time

import pytest

from disentangle.directions.captions import fitting


@pytest.mark.parametrize("text", ["hardly changes the picture", "größer → kleiner", "l" * 80, "W" * 80, "a b " * 20])
def test_a_text_is_cut_after_the_last_letter_that_fits(text: str) -> None:
    for width in (0, 10, 40, 122, 1000):
        cut, font = fitting(text, width, 13)
        if font.getlength(text) <= width:
            assert cut == text
            continue
        kept = cut.removesuffix("...")
        assert text.startswith(kept)
        assert not kept or font.getlength(cut) <= width
        assert font.getlength(text[: len(kept) + 1] + "...") > width


def test_a_very_long_text_is_cut_at_once() -> None:
    begun = time.monotonic()
    fitting("layer " * 3000, 122, 13)
    assert time.monotonic() - begun < 2
