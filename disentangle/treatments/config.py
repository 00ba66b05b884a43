"""Which treatments a training asks for."""

import math
from dataclasses import dataclass
from typing import Literal

from disentangle.errors import UserError, unknown_name
from disentangle.linalg import Null

Target = Literal["gradient", "update"]

TREATMENTS = {
    "ol": "orthogonal loss",
    "nog": "nearest orthogonal gradient",
    "olr": "optimal learning rate",
    "sn": "spectral norm",
    "ow": "orthogonal weight",
}


@dataclass(frozen=True)
class TreatmentConfig:
    """Which treatments the Pre-SVD layers get.

    Attributes:
        names: any of ``ol`` (orthogonal loss), ``nog`` (nearest orthogonal gradient), ``olr`` (optimal learning rate)
            and ``sn`` (spectral norm) or ``ow`` (orthogonal weight), each at most once, in any order; none is possible.
        ol_weight: weight of the orthogonal loss, which is averaged over the layers.
        null: what NOG does with directions the gradient does not have: ``drop`` them or ``fill`` them as published.
        rtol: the singular values, relative to the largest, at which that begins; ``None`` for rounding level. See
            :func:`disentangle.treatments.nearest_orthogonal_gradient`.
        target: what NOG and OLR work on: the ``gradient``, as published, or the optimiser's ``update``, as optimisers
            of the Muon family do.
        parameters: dotted names of the weights to treat, in place of the model's own Pre-SVD layers.
    """

    names: tuple[str, ...] = ("nog",)
    ol_weight: float = 100.0
    null: Null = "drop"
    rtol: float | None = None
    target: Target = "gradient"
    parameters: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise :class:`UserError` where a name is unknown or named twice, two exclude each other, or a number is out
        of range."""
        if self.parameters and not self.names:
            raise UserError(f"no treatment is named for {', '.join(self.parameters)}: name one, as in nog")
        for name in self.names:
            if name == "none" or "+" in name:
                raise UserError(
                    f"treatments are given one by one, as in `ol nog`, or not at all for none, got {name!r}"
                )
            if name not in TREATMENTS:
                raise unknown_name("treatment", name, TREATMENTS)
            if self.names.count(name) > 1:
                raise UserError(f"treatment {name!r} is named twice: name it once")
        if {"sn", "ow"} <= set(self.names):
            raise UserError(
                "treatments sn and ow exclude each other: an orthogonal weight has spectral norm 1, drop sn"
            )
        if not (math.isfinite(self.ol_weight) and self.ol_weight >= 0):
            raise UserError(f"ol_weight must be finite and at least 0, got {self.ol_weight}")
        if self.null not in ("drop", "fill"):
            raise unknown_name("null", self.null, ("drop", "fill"))
        if self.rtol is not None and not 0 <= self.rtol < 1:
            raise UserError(f"rtol must lie in [0, 1), got {self.rtol}")
        if self.target not in ("gradient", "update"):
            raise unknown_name("target", self.target, ("gradient", "update"))
