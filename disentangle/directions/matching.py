"""Which directions of two discoveries are the same: across methods, seeds, samples and checkpoints."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from disentangle.directions.angles import angles_between, principal_angles
from disentangle.directions.record import REPEATED_GAP, Directions


@dataclass(frozen=True, eq=False)
class Block:
    """Directions of one repeated singular value, and how far the plane that they span is from that of their partners.

    Attributes:
        members: indices into the first directions.
        angle: degrees, the largest principal angle; small where the plane is the same, whatever its axes.
    """

    members: tuple[int, ...]
    angle: float


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of directions, one of each discovery.

    Attributes:
        pairs: ``m`` pairs of indices, in the order of the first; as many as the shorter discovery has directions.
        angles: ``(m,)`` degrees, 0 to 90, between the lines of each pair.
        signs: ``(m,)``, 1 or -1: times this the second of a pair points the way of the first.
        spans: ``(min(k, l),)`` degrees, ascending: principal angles between all that each discovery spans; fewer where
            directions depend on one another.
        blocks: of the first discovery's repeated singular values.
    """

    pairs: tuple[tuple[int, int], ...]
    angles: Tensor
    signs: Tensor
    spans: Tensor
    blocks: tuple[Block, ...]

    def same(self, threshold: float = 15.0) -> list[tuple[int, int]]:
        """The pairs within ``threshold`` degrees; of a repeated value those whose planes are, since axes turn freely
        in it."""
        planes = {k: block.angle for block in self.blocks for k in block.members}
        return [
            pair for pair, angle in zip(self.pairs, self.angles.tolist()) if planes.get(pair[0], angle) <= threshold
        ]


def match(a: Directions, b: Directions) -> Matches:
    """Match directions one-to-one so that the sum of the absolute cosines is as large as can be.

    Source: Kuhn, "The Hungarian Method for the Assignment Problem", Naval Research Logistics Quarterly 2, 1955.

    Args:
        a: of one method, seed or set of weights.
        b: of another, in the same latent space.

    Raises:
        ValueError: where the latent spaces differ in size.
    """
    rows, columns = assign(a.vectors, b.vectors)
    first, second = a.vectors.double()[rows], b.vectors.double()[columns]
    signs = torch.where((first * second).sum(1) < 0, -1.0, 1.0)
    pairs = tuple(zip(rows.tolist(), columns.tolist()))
    partner = dict(pairs)
    blocks = []
    for members in _repeated(a):
        partners = [partner[k] for k in members if k in partner]
        angles = principal_angles(a.vectors[members], b.vectors[partners]) if partners else torch.tensor([torch.pi / 2])
        # A value may be repeated more often than the other discovery has directions left for it.
        blocks.append(Block(tuple(members), float(torch.rad2deg(angles[-1]))))
    spans = torch.rad2deg(principal_angles(a.vectors, b.vectors))
    return Matches(pairs, angles_between(first, second), signs, spans, tuple(blocks))


def assign(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Match unit vectors ``(k, d)`` and ``(m, d)`` one-to-one by absolute cosine.

    Returns:
        Indices of the matched rows of each, ``(min(k, m),)``, those of the first ascending.

    Raises:
        ValueError: where the sizes differ.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected directions of one latent space, got sizes {a.shape[1]} and {b.shape[1]}")
    cosines = (a.double() @ b.double().mT).abs()
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    return torch.from_numpy(rows), torch.from_numpy(columns)


def half_stability(whole: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """By how many degrees what each half of the samples gives for a direction differs.

    Args:
        whole: ``(k, d)``, unit vectors, what all samples gave.
        first: ``(m, d)``, what one half gave; more than ``k``, so that a direction near the last is not missed.
        second: ``(n, d)``, what the other gave.

    Returns:
        ``(k,)``; 90 for a direction that a half has no partner for.
    """
    partners = torch.full((2, len(whole)), -1)
    for row, half in zip(partners, (first, second)):
        rows, columns = assign(whole, half)
        row[rows] = columns
    angles = torch.full((len(whole),), 90.0, dtype=torch.float64)
    both = (partners >= 0).all(0)
    angles[both] = angles_between(first[partners[0, both]], second[partners[1, both]])
    return angles


def _repeated(directions: Directions) -> list[list[int]]:
    """Groups of directions of one layer whose singular values are the same."""
    groups: list[list[int]] = []
    values = directions.singular_values.double()
    for layer in dict.fromkeys(directions.layers):
        inside = [k for k in range(len(directions)) if directions.layers[k] == layer]
        largest = float(values[inside].max())
        inside.sort(key=lambda k: -float(values[k]))
        for k in inside:
            if not bool(directions.repeated[k]):
                continue
            near = groups and directions.layers[groups[-1][-1]] == layer
            if near and float(values[groups[-1][-1]] - values[k]) <= REPEATED_GAP * largest:
                groups[-1].append(k)
            else:
                groups.append([k])
    return [sorted(group) for group in groups if len(group) > 1]
