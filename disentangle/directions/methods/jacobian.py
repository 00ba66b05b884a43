"""The latent directions that change the picture most: the singular vectors of the Jacobian ``dG/dz``.

At one latent, or averaged over many: the eigenvectors of the mean of ``JᵀJ``, singular values being the root mean
square of how far the picture (in [-1, 1], as a vector of all its numbers) moves a unit of the latent. Ramesh, Choi,
LeCun, "A Spectral Regularizer for Unsupervised Disentanglement", 2018, arXiv 1812.01161, at one latent; Wang, Ponce,
"The Geometry of Deep Generative Image Models and its Applications", ICLR 2021, arXiv 2101.06006, averaged.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from disentangle.directions.angles import principal_angles
from disentangle.directions.matching import half_stability
from disentangle.directions.methods.base import MARGIN, Found, Progress, Result, Task, chosen_latents, gram
from disentangle.directions.methods.derivatives import Derivative
from disentangle.errors import DisentangleWarning, UserError, check_seed, unknown_name

SOLVERS = ("auto", "exact", "iteration")
EXACT_LATENTS, EXACT_NUMBERS = 1024, 2**27
FEW = 16
"""Directions that an iteration, whose time grows with them, finds unasked."""
PROBES = 8
CONVERGED = 1e-3
"""Radians by which an iteration may still turn the directions."""


def jacobian(
    task: Task,
    *,
    at: int | Tensor | None = None,
    samples: int = 16,
    solver: str = "auto",
    iterations: int = 60,
    batch: int = 32,
) -> Result:
    """Top right singular vectors of the Jacobian by the latents that enter the task's layers, or by all.

    Args:
        task: which generator, layers, count and seed.
        at: the one latent to look at, ``(d,)`` or ``(1, d)``, or the seed that it is drawn from; ``None`` averages.
        samples: latents to average over, at least 2, drawn from the task's seed.
        solver: ``"exact"`` computes every column of each Jacobian; ``"iteration"`` never forms one but iterates on a
            block of vectors; ``"auto"`` is exact up to 1,024 latents where a Jacobian fits into half a gigabyte.
        iterations: at most so many.
        batch: pictures computed at a time.

    Raises:
        UserError: where an option is impossible, or the pictures have no derivative or one that is not finite.
    """
    name, columns = chosen_latents(task)
    latents = draw_latents(task, at, samples)
    return find_in_jacobian(task, name, columns, latents, at, solver, iterations, batch)


def find_in_jacobian(
    task: Task,
    name: str,
    columns: Tensor,
    latents: Tensor,
    at: int | Tensor | None,
    solver: str,
    iterations: int,
    batch: int,
) -> Result:
    """As :func:`jacobian`, of the latents ``columns`` and at ``latents`` ``(n, d)``."""
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if iterations < 1 or batch < 1:
        raise UserError(f"iterations and batch must be at least 1, got {iterations} and {batch}")
    with torch.no_grad():
        numbers = task.generator.synthesize(latents[:1]).numel()
    if solver == "auto":
        small = len(columns) <= EXACT_LATENTS and len(columns) * numbers <= EXACT_NUMBERS
        solver = "exact" if small else "iteration"
    pictures = _Pictures(Derivative(task.generator), latents, columns, batch)
    if solver == "exact":
        found, how = _exactly(task, pictures), dict[str, object](total="exact")
    else:
        found, how = _iterating(task, pictures, iterations)
    flat = torch.zeros(len(found.vectors), task.generator.latent_size, dtype=torch.float64)
    flat[:, columns] = found.vectors
    settings = {
        "layers": None if task.layers is None else list(task.layers),
        "at": _described(at),
        "samples": len(latents),
        "solver": solver,
        "iterations": iterations,
        "batch": batch,
    }
    return Result([replace(found, layer=name, vectors=flat)], settings | how, seeded=at is None)


class _Pictures:
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


def _exactly(task: Task, pictures: _Pictures) -> Found:
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
    stability = None
    if len(pictures) > 1:
        first, second = (_decomposed(half)[1][: count + MARGIN] for half in halves)
        stability = half_stability(vectors[:count], first, second)
    return Found("", vectors[:count], values.sqrt(), stability=stability)


def _iterating(task: Task, pictures: _Pictures, iterations: int) -> tuple[Found, dict[str, object]]:
    """Block iteration, for all samples and then from there for each half of them."""
    count = min(pictures.size, FEW if task.count is None else task.count)
    draw = task.draw()
    start = torch.randn(min(count + MARGIN, pictures.size), pictures.size, generator=draw, dtype=torch.float64)
    every = range(len(pictures))
    halving = len(pictures) > 1
    share = 0.5 if halving else 1.0
    values, vectors, turned = iterate(pictures, every, start, count, iterations, _part(task.progress, 0.0, share))
    total = float(values.sum()) + _rest(pictures, vectors, draw)
    stability = None
    if halving:
        halves = []
        for j in range(2):
            report = _part(task.progress, 0.5 + 0.25 * j, 0.25)
            halves.append(iterate(pictures, every[j::2], vectors, count, iterations, report)[1])
        stability = half_stability(vectors[:count], *halves)
    how = {
        "total": f"the directions' own and, of the rest, Hutchinson's estimate of {PROBES} probes a picture",
        "turned": round(float(torch.rad2deg(torch.tensor(turned))), 4),
    }
    return Found("", vectors[:count], values.sqrt(), total, stability), how


def iterate(
    pictures: _Pictures, which: Sequence[int], start: Tensor, count: int, iterations: int, progress: Progress
) -> tuple[Tensor, Tensor, float]:
    """``V ← orth(mean of JᵀJ V)`` until the first ``count`` directions stand still.

    Args:
        pictures: whose Jacobians.
        which: of them.
        start: ``(b, q)``, any block of ``b > count`` vectors, whose surplus makes it converge faster.
        count: how many directions are wanted.
        iterations: at most so many.
        progress: is told after each.

    Returns:
        The ``b`` largest eigenvalues, in descending order, their eigenvectors as rows, and by how many radians the
        last iteration turned the wanted ones out of the block.
    """
    block = _orthonormal(start)
    turned = torch.pi / 2
    for iteration in range(1, iterations + 1):
        products = torch.stack([pictures.returned(i, block) for i in which]).mean(0)
        # The best that this block knows of the eigenvectors (Rayleigh, Ritz); the next one is what they are mapped to.
        values, turns = _decomposed(block @ products.mT)
        known, mapped = turns @ block, turns @ products
        # What is smaller drowns in the rounding of the products, and any direction will do for it.
        above = int((values[:count] > 10 * torch.finfo(pictures.latents.dtype).eps * values[0]).sum())
        turned = float(principal_angles(mapped[:above], block)[-1]) if above else 0.0
        progress(iteration / iterations, f"iteration {iteration}: turned by {turned * 180 / torch.pi:.2g}°")
        if turned < CONVERGED:
            break
        block = _orthonormal(mapped)
    else:
        warnings.warn(
            f"after {iterations} iterations the Jacobian's directions still turn by {turned * 180 / torch.pi:.2g} "
            "degrees: allow more iterations, or take solver exact",
            DisentangleWarning,
            stacklevel=2,
        )
    return values, known, turned


def _rest(pictures: _Pictures, vectors: Tensor, draw: torch.Generator) -> float:
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


def _part(progress: Progress, start: float, size: float) -> Progress:
    """Progress of a part of the work."""
    return lambda share, text: progress(start + size * share, text)


def draw_latents(task: Task, at: int | Tensor | None, samples: int) -> Tensor:
    """Where to differentiate, ``(n, d)``."""
    if at is None:
        if samples < 2:
            raise UserError(f"samples must be at least 2, got {samples}: for one latent name it, or its seed, by at")
        return task.generator.sample_latents(samples, task.draw())
    if isinstance(at, Tensor):
        size = task.generator.latent_size
        if at.numel() != size or at.shape[-1] != size or not bool(at.isfinite().all()):
            raise UserError(f"expected one latent of {size} finite numbers, got shape {tuple(at.shape)}")
        return at.detach().reshape(1, size).to(task.generator.sample_latents(1, task.draw()))
    check_seed(at)
    return task.generator.sample_latents(1, torch.Generator().manual_seed(at))


def _described(at: int | Tensor | None) -> int | str | None:
    """A seed as it is, a latent by its hash."""
    if not isinstance(at, Tensor):
        return at
    return f"a given latent, SHA-256 {hashlib.sha256(at.detach().cpu().double().numpy().tobytes()).hexdigest()[:16]}"
