"""The eigenvectors of the mean of ``JᵀJ`` over the Jacobians of many pictures: formed, or by their products alone."""

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from disentangle.directions.angles import principal_angles
from disentangle.directions.matching import half_stability
from disentangle.directions.methods.base import MARGIN, Found, Progress, Task, gram, half_errors, within
from disentangle.directions.methods.derivatives import Derivative
from disentangle.errors import DisentangleWarning, UserError

FEW = 16
"""Directions that an iteration, whose time grows with them, finds unasked."""
PROBES = 8
CONVERGED = 1e-3
"""Radians by which the directions that an iteration gives may be off, as far as its last turn and values tell."""


class Pictures:
    """Products with the Jacobians at ``n`` latents, by the ``q`` latents among ``columns``."""

    def __init__(self, derivative: Derivative, latents: Tensor, columns: Tensor, batch: int) -> None:
        self.derivative, self.latents, self.batch = derivative, latents, batch
        self.columns = columns.to(latents.device)

    def __len__(self) -> int:
        return len(self.latents)

    @property
    def size(self) -> int:
        return len(self.columns)

    def response(self, i: int, vectors: Tensor, step: Callable[[], None] | None = None) -> Tensor:
        """``J_i`` times each of the rows ``(k, q)``: ``(k, features)``, on the generator's device."""
        parts = []
        for part in vectors.split(self.batch):
            parts.append(self.derivative.along(*self._at(i, part)))
            if not bool(parts[-1].isfinite().all()):
                raise UserError("the derivative of the pictures is not finite: the training has diverged")
            if step is not None:
                step()
        return torch.cat(parts)

    def returned(self, i: int, vectors: Tensor) -> Tensor:
        """``J_iᵀ J_i`` times each of the rows ``(k, q)``, in float64 on the CPU."""
        parts = []
        for part in vectors.split(self.batch):
            latents, tangents = self._at(i, part)
            moved = self.derivative.along(latents, tangents)
            parts.append(self.derivative.back(latents, moved)[:, self.columns].cpu().double())
        products = torch.cat(parts)
        if not bool(products.isfinite().all()):
            raise UserError("the derivative of the pictures is not finite: the training has diverged")
        return products

    def _at(self, i: int, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Latent ``i`` and the vectors as tangents of all latents, ``(k, d)`` both."""
        latents = self.latents[i].expand(len(vectors), -1)
        tangents = torch.zeros_like(latents)
        tangents[:, self.columns] = vectors.to(latents)
        return latents, tangents


def exactly(task: Task, pictures: Pictures) -> Found:
    """Every column of every Jacobian."""
    halves = torch.zeros(2, pictures.size, pictures.size, dtype=torch.float64)
    axes = torch.eye(pictures.size)
    steps = len(pictures) * -(-pictures.size // pictures.batch)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        task.progress(done / steps, f"differentiated {done * pictures.batch // pictures.size} pictures")

    for i in range(len(pictures)):
        halves[i % 2] += gram(pictures.response(i, axes, step))
    count = task.wanted(pictures.size)
    values, vectors = _decomposed(halves.sum(0) / len(pictures))
    stability = errors = None
    if len(pictures) > 1:
        parts = [_decomposed(half / len(range(i, len(pictures), 2))) for i, half in enumerate(halves)]
        stability = half_stability(vectors[:count], *(half[: count + MARGIN] for _, half in parts))
        errors = half_errors(values[:count].sqrt(), *(half.sqrt() for half, _ in parts))
    return Found("", vectors[:count], values.sqrt(), stability=stability, errors=errors)


def iterating(task: Task, pictures: Pictures, iterations: int) -> tuple[Found, dict[str, object]]:
    """Block iteration, for all samples and then from there for each half of them."""
    count = min(pictures.size, FEW if task.count is None else task.count)
    draw = task.draw()
    start = torch.randn(min(count + MARGIN, pictures.size), pictures.size, generator=draw, dtype=torch.float64)
    every = range(len(pictures))
    halving = len(pictures) > 1
    share = 0.5 if halving else 1.0
    values, vectors, error = iterate(pictures, every, start, count, iterations, within(task.progress, 0.0, share))
    total = float(values.sum()) + _rest(pictures, vectors, draw)
    stability = errors = None
    if halving:
        parts = []
        for j in range(2):
            report = within(task.progress, 0.5 + 0.25 * j, 0.25)
            parts.append(iterate(pictures, every[j::2], vectors, count, iterations, report))
        stability = half_stability(vectors[:count], *(half for _, half, _ in parts))
        errors = half_errors(values[:count].sqrt(), *(half.sqrt() for half, _, _ in parts))
    how = {
        "total": f"the directions' own and, of the rest, Hutchinson's estimate of {PROBES} probes a picture",
        "error": round(math.degrees(error), 4),
    }
    return Found("", vectors[:count], values.sqrt(), total, stability, errors), how


def iterate(
    pictures: Pictures, which: Sequence[int], start: Tensor, count: int, iterations: int, progress: Progress
) -> tuple[Tensor, Tensor, float]:
    r"""``V ← orth(mean of JᵀJ V)`` until the first ``count`` directions are known.

    Let the block miss a wanted direction, of eigenvalue :math:`\lambda`, by a small angle :math:`e` towards an
    eigenvector of :math:`\mu < \lambda`. Of that the map leaves :math:`e \mu / \lambda`: it turns the direction by
    :math:`e (1 - \mu / \lambda)` alone, however far there is to go. So the error is the turn over that factor, with
    :math:`\lambda` the last value wanted and :math:`\mu` the first left out, which is at most the last of the block.

    Args:
        pictures: whose Jacobians.
        which: of them.
        start: ``(b, q)``, any block of ``b > count`` vectors, whose surplus makes it converge faster.
        count: how many directions are wanted.
        iterations: at most so many.
        progress: is told after each.

    Returns:
        The ``b`` largest eigenvalues, in descending order, their eigenvectors as rows, and the estimated error of the
        wanted ones, in radians, at most π/2.
    """
    block = _orthonormal(start)
    rounding = 10 * torch.finfo(pictures.latents.dtype).eps
    error = math.pi / 2
    for iteration in range(1, iterations + 1):
        products = torch.stack([pictures.returned(i, block) for i in which]).mean(0)
        # The best that this block knows of the eigenvectors (Rayleigh, Ritz); the next one is what they are mapped to.
        values, turns = _decomposed(block @ products.mT)
        known, mapped = turns @ block, turns @ products
        # What is smaller drowns in the rounding of the products, and any direction will do for it.
        above = int((values[:count] > rounding * values[0]).sum())
        turned = float(principal_angles(mapped[:above], block)[-1]) if above else 0.0
        apart = 1.0 - float(values[-1] / values[above - 1]) if above else 1.0
        error = turned if turned <= rounding else min(turned / max(apart, rounding), math.pi / 2)
        progress(iteration / iterations, f"iteration {iteration}: off by about {math.degrees(error):.2g}°")
        if error < CONVERGED:
            break
        block = _orthonormal(mapped)
    else:
        warnings.warn(
            f"after {iterations} iterations the Jacobian's directions are still off by about "
            f"{math.degrees(error):.2g} degrees: allow more iterations, or take solver exact",
            DisentangleWarning,
            stacklevel=2,
        )
    return values, known, error


def _rest(pictures: Pictures, vectors: Tensor, draw: torch.Generator) -> float:
    """An unbiased estimate of the sum of all other eigenvalues.

    Hutchinson 1990 in what is orthogonal to the vectors: Meyer, Musco, Musco, Woodruff, "Hutch++", SOSA 2021, arXiv
    2010.09649.
    """
    if len(vectors) == pictures.size:
        return 0.0
    lengths = []
    for i in range(len(pictures)):
        probes = 2.0 * torch.randint(2, (PROBES, pictures.size), generator=draw).double() - 1.0
        probes -= probes @ vectors.mT @ vectors
        lengths.append(pictures.response(i, probes).cpu().double().square().sum() / PROBES)
    return float(torch.stack(lengths).mean())


def _decomposed(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in descending order, not negative, and eigenvectors as rows."""
    values, vectors = torch.linalg.eigh((symmetric + symmetric.mT) / 2)
    return values.flip(0).clamp_min(0.0), vectors.mT.flip(0)


def _orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis, as rows, that begins with the span of the first rows."""
    basis: Tensor = torch.linalg.qr(rows.mT).Q
    return basis.mT
