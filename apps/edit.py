"""An edit: everything that says which picture is meant, short enough for a link."""

import math
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from disentangle.errors import UserError, check_seed

LONGEST_FILE = 255
"""Bytes of a file's name, in all usual file systems."""
REACH = 10.0
"""Sigmas that a direction can be moved by, at most: far outside of what any generator has seen."""
LARGEST_SEED = 2**53 - 1
LONGEST = 8192
MOST = 512


def why_no_file(name: str, longest: int = LONGEST_FILE) -> str:
    """Why a name cannot be that of a file or a folder, in a few words; ``""`` where it can.

    Args:
        name: any text.
        longest: bytes that it may have.
    """
    wrong = sorted({letter for letter in name if not letter.isprintable()})
    if "/" in name or "\\" in name:
        return "names have no slash"
    if wrong:
        return f"names have no {', '.join(map(repr, wrong[:5]))}, which nobody sees"
    if name in (".", "..") or not name.strip():
        return "names have a letter or a number"
    if len(name.encode()) > longest:
        return f"names have {longest} bytes at most, this has {len(name.encode()):,}"
    return ""


@dataclass(frozen=True)
class Edit:
    """Where to start, and how far to move along which directions.

    Attributes:
        run: the run's name in its folder of runs.
        directions: name of its directions: of a method (``"weights"``), or of a file in the run's ``directions``.
        coordinates: how far to move, in sigma, by the direction's place in its file, counted from 0; those that are
            not here are not moved.
        seed: of the latents to start from.
        picture: instead of the seed, a picture that was inverted (its name in the run's ``pictures``); ``""`` for none.
        truncation: what the starting latents are multiplied with, 0 (their mean) to 2; all of them, and so the
            noise of a diffusion model as well as its codes.
        weights: first digits of the hash of the generator's weights that the edit was made with; ``""`` for any.
        basis: first digits of the fingerprint of the directions that it was made with, likewise.
    """

    run: str
    directions: str = "auto"
    coordinates: tuple[tuple[int, float], ...] = ()
    seed: int = 0
    picture: str = ""
    truncation: float = 1.0
    weights: str = ""
    basis: str = ""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.seed > LARGEST_SEED:
            raise UserError(f"the seed must be at most {LARGEST_SEED}, which a page can hold exactly, got {self.seed}")
        for name in (self.run, self.directions, self.picture):
            if name and (why := why_no_file(name)):
                raise UserError(f"{name[:40]!r} is no name of a run, of directions or of a picture: {why}")
        if not 0 <= self.truncation <= 2:
            raise UserError(f"the truncation must lie between 0 and 2, got {self.truncation}")
        if len(self.coordinates) > MOST:
            raise UserError(f"{len(self.coordinates)} coordinates are too many: possible: {MOST}")
        seen: set[int] = set()
        for k, amount in self.coordinates:
            if k < 0 or k in seen:
                raise UserError(f"there is no direction {k}" if k < 0 else f"direction {k} is moved twice")
            if not math.isfinite(amount) or abs(amount) > REACH:
                raise UserError(f"coordinates must lie between {-REACH:g} and {REACH:g} sigma, got {amount} of {k}")
            seen.add(k)
        moved = tuple(sorted((int(k), float(amount)) for k, amount in self.coordinates if amount))
        object.__setattr__(self, "coordinates", moved)
        object.__setattr__(self, "basis", self.basis if moved else "")  # where nothing is moved, any will do

    def to_query(self) -> str:
        """The edit as a link's query, ``run=…&directions=…&move=0:1.5,3:-2``; what is as by default is left out."""
        pairs = [("run", self.run), ("directions", self.directions)]
        if self.coordinates:
            pairs.append(("move", ",".join(f"{k}:{amount!r}" for k, amount in self.coordinates)))
        pairs.append(("picture", self.picture) if self.picture else ("seed", str(self.seed)))
        if self.truncation != 1:
            pairs.append(("truncation", repr(self.truncation)))
        if self.weights:
            pairs.append(("weights", self.weights))
        if self.basis:
            pairs.append(("basis", self.basis))
        return urlencode(pairs, safe=":,")

    @staticmethod
    def from_query(text: str) -> "Edit":
        """Read :meth:`to_query`'s text, with or without a leading address and question mark; other keys are ignored.

        Raises:
            UserError: where it names no run, or a value makes no sense.
        """
        if len(text) > LONGEST:
            raise UserError(f"the link is too long: {len(text):,} characters of {LONGEST:,} at most")
        given = dict(parse_qsl(text.split("?", 1)[-1].split("#", 1)[0], keep_blank_values=True))
        if not given.get("run"):
            raise UserError("the link names no run: expected run=NAME&directions=NAME&move=0:1.5,3:-2&seed=0")
        try:
            moves = [part.split(":") for part in given.get("move", "").split(",") if part]
            coordinates = tuple((int(k), float(amount)) for k, amount in moves)
            seed, truncation = int(given.get("seed", "0")), float(given.get("truncation", "1"))
        except ValueError:
            raise UserError(
                "the link is damaged: expected numbers, as in move=0:1.5,3:-2&seed=0&truncation=1"
            ) from None
        names = {name: given[name] for name in ("run", "directions", "picture", "weights", "basis") if name in given}
        return Edit(coordinates=coordinates, seed=seed, truncation=truncation, **names)
