"""Directions in latent space, and the file that keeps them."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from disentangle.errors import UserError

VERSION = 1
TENSORS = ("vectors", "sigma", "spectrum", "gaps", "activity")
FIELDS = ("layers", "space", "discoverer", "settings", "seed", "weights")
# Weights are float32: a singular value is known to about 1e-7 of the largest, its direction to 1e-7 / gap. Below this
# gap the last digits of the weights turn the direction by more than a thousandth: it is a choice of the algorithm's.
REPEATED_GAP = 1e-4
STILL = 0.01


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one generator, in the order of their spectrum.

    Attributes:
        vectors: ``(k, d)`` float32, unit length, in the flat latent space.
        sigma: ``(k,)``, the unit of a step: the standard deviation of the latents along the direction.
        spectrum: ``(k,)``, descending: how strongly the layer responds to a unit step.
        gaps: ``(k,)``: distance to the nearest other singular value of the layer over the layer's largest, infinite
            where the layer has only one. Without a gap a direction may turn freely; see :attr:`repeated`.
        activity: ``(k,)``: how much the pictures change (:func:`disentangle.directions.measure_activity`); NaN where it
            has not been measured.
        layers: ``k`` names of the layers.
        discoverer: the method's name.
        settings: what the method was told.
        seed: what its randomness was drawn from.
        weights: hash of the model's weights; ``""`` if unknown.
        space: where the vectors live.

    Raises:
        ValueError: where the shapes do not fit together, a vector is not of unit length or the spectrum not descending.
    """

    vectors: Tensor
    sigma: Tensor
    spectrum: Tensor
    gaps: Tensor
    activity: Tensor
    layers: tuple[str, ...]
    discoverer: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    weights: str = ""
    space: str = "latents"

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) == 0:
            raise ValueError(f"expected vectors (k, d) with k > 0, got shape {tuple(self.vectors.shape)}")
        k = len(self.vectors)
        for name in TENSORS[1:]:
            if getattr(self, name).shape != (k,):
                raise ValueError(f"expected {name} of shape ({k},), got {tuple(getattr(self, name).shape)}")
        if len(self.layers) != k:
            raise ValueError(f"expected {k} names of layers, got {len(self.layers)}")
        lengths = torch.linalg.vector_norm(self.vectors.double(), dim=1)
        if not bool(((lengths - 1.0).abs() < 1e-4).all()):
            raise ValueError("expected vectors of unit length")
        if not bool((self.spectrum[1:] <= self.spectrum[:-1]).all()):
            raise ValueError("expected a descending spectrum")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def repeated(self) -> Tensor:
        """``(k,)`` bool: the singular value is repeated, so that any rotation among its directions would do as well."""
        return self.gaps < REPEATED_GAP

    @property
    def still(self) -> Tensor:
        """``(k,)`` bool: the direction hardly changes the pictures, by less than a hundredth of what the first does."""
        return self.activity < STILL * self.activity.max()

    @property
    def labels(self) -> tuple[str, ...]:
        """``k`` short names: the layer and the rank in the layer's spectrum, ``"layer 2 · #1"``."""
        seen: dict[str, int] = {}
        labels = []
        for layer in self.layers:
            seen[layer] = seen.get(layer, 0) + 1
            labels.append(f"{layer} · #{seen[layer]}")
        return tuple(labels)

    def most_active(self, count: int | None = None) -> list[int]:
        """Indices of the directions that change the pictures most, the strongest first; by spectrum if not measured."""
        key = self.spectrum if bool(self.activity.isnan().any()) else self.activity
        order: list[int] = torch.argsort(key, descending=True, stable=True).tolist()
        return order[:count]

    def take(self, indices: Sequence[int]) -> "Directions":
        """Only the directions at ``indices``, put into the order of the spectrum."""
        keep = sorted(set(indices))
        tensors = {name: getattr(self, name)[keep] for name in TENSORS}
        return dataclasses.replace(self, layers=tuple(self.layers[i] for i in keep), **tensors)

    def save(self, folder: Path | str) -> None:
        """Write ``directions.safetensors`` and ``directions.json`` into ``folder``, over what is there.

        Each file appears whole or not at all, the JSON last; it holds the checksum of the other, so that a pair of
        which only one was replaced is noticed.

        Raises:
            UserError: where the folder cannot be written.
        """
        tensors = safetensors.torch.save(
            {name: getattr(self, name).detach().cpu().float().contiguous() for name in TENSORS}
        )
        described = {"version": VERSION, "checksum": hashlib.sha256(tensors).hexdigest()}
        described |= {name: getattr(self, name) for name in FIELDS}
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            _replace(Path(folder) / "directions.safetensors", tensors)
            _replace(Path(folder) / "directions.json", json.dumps(described, indent=2, ensure_ascii=False).encode())
        except OSError as error:
            raise UserError(f"cannot write the directions to {folder}: {error.strerror or error}") from error

    @classmethod
    def load(cls, folder: Path | str) -> "Directions":
        """Read what :meth:`save` wrote.

        Raises:
            UserError: where the files are missing, incomplete, damaged or of another version.
        """
        folder = Path(folder)
        mend = "find them again with `disentangle discover RUN`"
        try:
            described = json.loads((folder / "directions.json").read_bytes())
            tensors = (folder / "directions.safetensors").read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"no directions in {folder} ({Path(error.filename).name} is missing): {mend}") from error
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read the directions in {folder}: {error}; {mend}") from error
        version = described.get("version") if isinstance(described, dict) else None
        if version != VERSION:
            raise UserError(f"the directions in {folder} are of version {version}, possible: {VERSION}; {mend}")
        if hashlib.sha256(tensors).hexdigest() != described.get("checksum"):
            raise UserError(f"the directions in {folder} are damaged or half written (wrong checksum): {mend}")
        try:
            loaded = safetensors.torch.load(tensors)
            values = {name: described[name] for name in FIELDS} | {name: loaded[name] for name in TENSORS}
            return cls(**(values | {"layers": tuple(values["layers"])}))
        except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
            raise UserError(f"the directions in {folder} are damaged ({error}): {mend}") from error


def _replace(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, then put it in its place, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
