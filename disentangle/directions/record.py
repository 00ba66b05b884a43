"""Directions in latent space, and what is known of each."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from disentangle.directions import file
from disentangle.directions.file import MEASURED, TENSORS
from disentangle.errors import UserError

# Weights are float32: a singular value is known to about 1e-7 of the largest, its direction to 1e-7 / gap. Below this
# gap the last digits of the weights turn the direction by more than a thousandth: it is a choice of the algorithm's.
REPEATED_GAP = 1e-4
STILL = 0.01
WHOLE = 1 - 1e-4
"""Sum of the shares of a layer's directions from which on all that do anything are here."""
SLIGHT = 0.1
"""Effect on a factor below which it may be chance."""
UNSTABLE = 30.0
DOUBTFUL = 0.25


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one generator, and what is known of each.

    Attributes:
        vectors: ``(k, d)`` float32, unit length, in the flat latent space.
        singular_values: ``(k,)``: how strongly the layer, the activation or the picture responds to a unit step; of one
            discovery in descending order.
        shares: ``(k,)`` in [0, 1]: of the sum of the squares of all singular values of the layer.
        gaps: ``(k,)``: distance to the nearest other singular value of the layer over the layer's largest. Without a
            gap a direction may turn freely; see :attr:`repeated`. Infinite where the layer has only one, and of
            directions that do not follow from the singular values: those of subspaces, coordinates and random ones.
        sigma: ``(k,)``, the unit of a step: the standard deviation of the latents along the direction.
        layers: ``k`` names of the layers.
        method: what found them.
        settings: what the method was told.
        seed: what its randomness was drawn from.
        weights: hash of the generator's weights; ``""`` if unknown.
        space: where the vectors live.
        activeness: ``(k,)``: how much the pictures change (:func:`disentangle.directions.measure_activeness`).
        step_sizes: ``(k,)``: mean perceptual distance of a step of one sigma.
        stability: ``(k,)`` degrees: the angle between what each half of the samples gave; 0 where nothing was sampled.
        seed_stability: ``(k,)`` degrees: the angle to what other seeds give.
        errors: ``(k,)``: standard error of the singular value over the layer's largest, where it was sampled.
        factors: names of the data set's factors that were measured, ``f`` of them.
        effects: ``(k, f)`` in [0, 1]: how far each direction moves each factor.
        spans: ``(k, f, 2)``: how far the value of each factor moves, in shares of its range, from the middle to the
            least and to the greatest position looked at (-2 and 2 sigma); NaN where it is no ordered number.
        readable: ``(f,)`` in [0, 1]: how well a factor can be read from pictures, from 0 for guessing to 1.
        names: ``k`` names that people gave; ``""`` for none. By default none.
        notes: ``k`` notes that people wrote.

    Raises:
        ValueError: where the shapes do not fit together, a number is not finite (but for gaps), or a vector is not of
            unit length.
    """

    vectors: Tensor
    singular_values: Tensor
    shares: Tensor
    gaps: Tensor
    sigma: Tensor
    layers: tuple[str, ...]
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    weights: str = ""
    space: str = "latents"
    activeness: Tensor | None = None
    step_sizes: Tensor | None = None
    stability: Tensor | None = None
    seed_stability: Tensor | None = None
    errors: Tensor | None = None
    factors: tuple[str, ...] = ()
    effects: Tensor | None = None
    spans: Tensor | None = None
    readable: Tensor | None = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) == 0:
            raise ValueError(f"expected vectors (k, d) with k > 0, got shape {tuple(self.vectors.shape)}")
        k, f = len(self.vectors), len(self.factors)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*TENSORS[1:], *MEASURED), (k,))
        shapes |= {"effects": (k, f), "spans": (k, f, 2), "readable": (f,)}
        for name, shape in shapes.items():
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ValueError(f"expected {name} of shape {shape}, got {tuple(tensor.shape)}")
            if tensor is not None and (unknown := _unknown(tensor, name)):
                raise ValueError(f"expected {name} of finite numbers, got {unknown} of {tensor.numel()} that are not")
        for name in ("names", "notes"):
            if not getattr(self, name):
                object.__setattr__(self, name, ("",) * k)
        for name in ("layers", "names", "notes"):
            if len(getattr(self, name)) != k:
                raise ValueError(f"expected {k} {name}, got {len(getattr(self, name))}")
        lengths = torch.linalg.vector_norm(self.vectors.double(), dim=1)
        if not bool(((lengths - 1.0).abs() < 1e-4).all()):
            raise ValueError("expected vectors of unit length")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def repeated(self) -> Tensor:
        """``(k,)`` bool: the singular value is repeated, so that any rotation among its directions would do as well."""
        return self.gaps < REPEATED_GAP

    @property
    def unresolved(self) -> Tensor:
        """``(k,)`` bool: the nearest other singular value is within three standard errors: it may be repeated, and more
        samples would tell. (Of two that are, samples set apart one pair in ten by more.)"""
        if self.errors is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return (self.gaps < 3 * self.errors) & ~self.repeated

    @property
    def still(self) -> Tensor:
        """``(k,)`` bool: the direction hardly changes the pictures, by less than a hundredth of what the most active
        does, or nothing does; none where it has not been measured."""
        if self.activeness is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return (self.activeness < STILL * self.activeness.max()) | (self.activeness <= 0)

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Names of the layers all of whose directions are still: the generator has learned to do without them. Not of
        a layer some of whose directions are missing here, as the shares of the others tell."""
        names = []
        for layer in dict.fromkeys(self.layers):
            inside = [k for k, name in enumerate(self.layers) if name == layer]
            # Without any response there are no shares.
            whole = float(self.shares[inside].sum()) > WHOLE or not bool(self.singular_values[inside].any())
            if whole and bool(self.still[inside].all()):
                names.append(layer)
        return tuple(names)

    @property
    def unstable(self) -> Tensor:
        """``(k,)`` bool: other samples or another seed turn the direction by more than 30 degrees."""
        turned = torch.zeros(len(self), dtype=torch.bool)
        for angles in (self.stability, self.seed_stability):
            if angles is not None:
                turned |= angles > UNSTABLE
        return turned

    @property
    def purity(self) -> Tensor | None:
        """``(k,)`` in [0, 1]: the share of the factor that a direction moves most in all that it moves; ``None`` where
        no factor has been measured, and small where it moves none. What it leaks into the others is the rest."""
        if self.effects is None or not self.factors:
            return None
        return self.effects.amax(1) / self.effects.sum(1).clamp_min(SLIGHT)

    @property
    def moves(self) -> tuple[str, ...]:
        """``k`` names of the factors that the directions move most; ``""`` where that is next to nothing, the direction
        is still, or it has not been measured."""
        if self.effects is None or not self.factors:
            return ("",) * len(self)
        moving = ~self.still & (self.effects.amax(1) >= SLIGHT)
        most = self.effects.argmax(1).tolist()
        return tuple(self.factors[i] if moves else "" for i, moves in zip(most, moving.tolist()))

    def span(self, k: int, factor: str = "") -> tuple[float, float] | None:
        """How far direction ``k`` moves the value of a factor, by default of the one that it moves most: from the
        middle to -2 and to 2 sigma, in shares of its range. ``None`` where that is not known, or it moves none."""
        factor = factor or self.moves[k]
        if self.spans is None or factor not in self.factors:
            return None
        low, high = self.spans[k, self.factors.index(factor)].tolist()
        return None if math.isnan(low) else (low, high)

    @property
    def labels(self) -> tuple[str, ...]:
        """``k`` short names: what people named them, or the layer and the place in it, ``"layer 2 · #1"``."""
        seen: dict[str, int] = {}
        labels = []
        for layer, name in zip(self.layers, self.names):
            seen[layer] = seen.get(layer, 0) + 1
            labels.append(name or f"{layer} · #{seen[layer]}")
        return tuple(labels)

    @property
    def fingerprint(self) -> str:
        """Hash, in hex, of what steps along the directions are made of: the vectors, in their order, and sigma. Names,
        notes and what was measured change nothing about it."""
        digest = hashlib.sha256()
        for tensor in (self.vectors, self.sigma):
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def doubts(self, k: int) -> tuple[str, ...]:
        """What speaks against direction ``k``, in a few words each; empty where nothing does."""
        words = []
        if bool(self.repeated[k]):
            words.append("repeated: its axes are arbitrary")
        if bool(self.unresolved[k]):
            words.append("may be repeated: more samples would tell")
        if self.stability is not None and float(self.stability[k]) > UNSTABLE:
            words.append(f"other samples turn it by {float(self.stability[k]):.0f}°")
        if self.seed_stability is not None and float(self.seed_stability[k]) > UNSTABLE:
            words.append(f"another seed turns it by {float(self.seed_stability[k]):.0f}°")
        if bool(self.still[k]):
            words.append("hardly changes the picture")
        return tuple(words)

    def ranking(self, count: int | None = None) -> list[int]:
        """Indices of the directions, those worth a look first.

        By activeness, times purity of those that move a known factor (of as much, by activeness alone), or by singular
        value where activeness was not measured. An arbitrary direction (repeated, unresolved or unstable) counts for a
        quarter of it; those that are still come last.
        """
        size = (self.singular_values if self.activeness is None else self.activeness).double()
        key = size.clone()
        if self.activeness is not None and self.purity is not None:
            moving = torch.tensor([bool(factor) for factor in self.moves])
            key[moving] *= self.purity[moving]
        key[self.repeated | self.unresolved | self.unstable] *= DOUBTFUL
        order = sorted(range(len(self)), key=lambda k: (bool(self.still[k]), -float(key[k]), -float(size[k])))
        return order[:count]

    def take(self, indices: Sequence[int]) -> "Directions":
        """Only the directions at ``indices``, in the order they have here."""
        keep = sorted(set(indices))
        parts: dict[str, Any] = {name: getattr(self, name)[keep] for name in TENSORS}
        for name in MEASURED[:-1]:
            parts[name] = None if getattr(self, name) is None else getattr(self, name)[keep]
        parts |= {name: tuple(getattr(self, name)[i] for i in keep) for name in ("layers", "names", "notes")}
        return dataclasses.replace(self, **parts)

    def rename(self, k: int, name: str | None = None, note: str | None = None) -> "Directions":
        """The same with another name or note of direction ``k``; ``""`` takes it away."""
        names, notes = list(self.names), list(self.notes)
        names[k] = names[k] if name is None else name.strip()
        notes[k] = notes[k] if note is None else note.strip()
        return dataclasses.replace(self, names=tuple(names), notes=tuple(notes))

    def check_weights(self, weights: str, what: str) -> None:
        """Refuse to be used with other weights than those they were found in.

        Args:
            weights: hash of the weights at hand.
            what: whose they are, in words: a run's path.

        Raises:
            UserError: where both hashes are known and differ.
        """
        if self.weights and weights and self.weights != weights:
            raise UserError(
                f"these directions belong to other weights ({self.weights[:12]}) than {what} has ({weights[:12]}): "
                f"name the run and checkpoint they were found in, or find them again with `disentangle discover {what}`"
            )

    def to_bytes(self) -> bytes:
        """What :meth:`save` writes: a safetensors file; all that is no tensor is JSON in its metadata, under
        ``directions``.

        Raises:
            UserError: where a name, a note or another text is one that :meth:`load` would refuse.
        """
        return file.encode({each.name: getattr(self, each.name) for each in dataclasses.fields(self)})

    def save(self, path: Path | str) -> None:
        """Write :meth:`to_bytes` to a file, over what is there; whole or not at all.

        Args:
            path: a file ``….safetensors``; any other path is a folder, in which it is ``directions.safetensors``.

        Raises:
            UserError: where it cannot be written.
        """
        file.write(file.place(path), self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> "Directions":
        """Read what :meth:`save` wrote. Nothing in the file is executed.

        Raises:
            UserError: where it is missing, damaged, or of another kind or version.
        """
        path = file.place(path)
        values = file.read(path)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise file.damaged(path, error) from error


def _unknown(tensor: Tensor, name: str) -> int:
    """How many numbers are not finite; a gap may be infinite, and of some factors there is no span."""
    known = tensor.isfinite()
    if name == "gaps":
        known |= tensor.isposinf()
    if name == "spans":
        known |= tensor.isnan().all(-1, keepdim=True)
    return int((~known).sum())
