"""Text on pictures: fonts that have the letters, numbers in sigma, names that fit."""

import bisect
import functools
import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# The font that comes with Pillow has little more than ASCII: a name in other letters takes the first of these that the
# system has and that has them all.
OTHERS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "msgothic.ttc",
    "Hiragino Sans GB.ttc",
)
LEAST_SPAN = 0.05
"""Share of a factor's range below which its value is not said to move: a reader is no more exact than that."""
NOWHERE = "\U0010ffff"
"""A character that no font has: it is drawn as the box that stands for all such."""


def signed(position: float) -> str:
    """``-3``, ``0``, ``+1.5``: in ASCII, since the font that comes with Pillow has no minus sign and no sigma."""
    number = f"{position:+.2f}".rstrip("0").rstrip(".")
    return "0" if number in ("+0", "-0", "+", "-") else number


def spanned(span: tuple[float, float] | None) -> str:
    """How far a value moves to either side, in shares of its range: ``"−0.31 … +0.28"``; empty where that is not known
    or next to nothing."""
    if span is None or max(map(abs, span)) < LEAST_SPAN:
        return ""
    return " … ".join(f"{round(share, 2) + 0.0:+.2f}" for share in span).replace("-", "−")


def fitting(text: str, width: float, size: int) -> tuple[str, Font]:
    """A text that fits, and the font to draw it in.

    Args:
        text: one line; control characters are left out.
        width: pixels there are; a wider text is cut, with an ellipsis.
        size: of the font.

    Returns:
        The text and a font that has all its letters. Where no font has them the accents go, and a question mark stands
        for what is left without a letter.
    """
    text, font = _drawable("".join(letter for letter in text if letter.isprintable()), size)
    if font.getlength(text) <= width:
        return text, font
    fits = bisect.bisect_right(range(len(text)), width, key=lambda count: font.getlength(text[:count] + "..."))
    return text[: max(0, fits - 1)] + "...", font


def built_in(size: int) -> Font:
    """The font that comes with Pillow: the same on every machine."""
    return ImageFont.load_default(size=size)


def _drawable(text: str, size: int) -> tuple[str, Font]:
    for font in (built_in(size), *(_system(name, size) for name in OTHERS)):
        if font is not None and all(_has(font, letter) for letter in set(text)):
            return text, font
    font = built_in(size)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if _has(font, letter) else "?" for letter in plain), font


def _has(font: Font, letter: str) -> bool:
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(NOWHERE))


@functools.lru_cache(maxsize=64)
def _system(name: str, size: int) -> Font | None:
    """A font of the system's, if it is there."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None
