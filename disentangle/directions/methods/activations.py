"""Principal components of what a module computes, and the latents that move it along them.

Härkönen, Hertzmann, Lehtinen, Paris, "GANSpace: Discovering Interpretable GAN Controls", NeurIPS 2020, arXiv
2004.02546.
"""

import torch
from torch import Tensor, nn

from disentangle.directions.matching import half_stability
from disentangle.directions.methods.base import (
    MARGIN,
    Found,
    Result,
    Task,
    chosen_latents,
    chosen_projections,
    gram,
    half_errors,
)
from disentangle.directions.methods.hooks import Call, calls, choose, outputs, possible
from disentangle.errors import UserError

MOST = 10_000
"""Samples, at most: their inner products, of which there are the square of that, are held in float64."""
HELD = 2**26
"""Numbers of the activations that are held at a time: a quarter of a gigabyte."""
NOISE = 1e-5
"""A standard deviation below this share of the largest is the rounding of float32."""


def find_activations(task: Task, *, module: str | None = None, samples: int = 1000, batch: int = 32) -> Result:
    """PCA of a module's activations, its coordinates mapped back to the latents by least squares.

    Singular values are the standard deviations along the components, shares those of the whole variance. Directions
    are not orthogonal in general. Those of a task with layers are of the latents that enter these, and of what the
    module does when they alone vary: all others stay as one draw has them. (At their mean, where no picture of a deep
    network lies, it may answer weak directions in another way than elsewhere.)

    Args:
        task: which generator, layers, count and seed.
        module: dotted name of the module. By default the one that owns the weight of the last of the task's layers,
            since what is before it has not seen all latents: of a plain GAN the first layer, of subspace layers the
            last. Where the model does not call that module by itself, what encloses it, or the last that is called
            therein. A module that is called several times for a picture counts by its last call.
        samples: latents whose activations are taken, more of them the better, at least 4. A latent that has no effect
            still gets about ``1 / sqrt(samples)`` of a direction.
        batch: pictures made at a time.

    Raises:
        UserError: where there is no such module, it puts out anything but one tensor with a row a picture, or its
            output does not depend on the latents that vary or is not finite.
    """
    if not 4 <= samples <= MOST or batch < 1:
        raise UserError(f"samples must lie between 4 and {MOST:,} and batch be at least 1, got {samples} and {batch}")
    generator = task.generator
    if not isinstance(generator, nn.Module):
        raise UserError(f"{type(generator).__name__} has no modules to look into: possible here: jacobian, weights")
    name, columns = chosen_latents(task)
    latents = generator.sample_latents(samples, task.draw())
    others = torch.ones(generator.latent_size, dtype=torch.bool).index_fill(0, columns, False).to(latents.device)
    # Else the components would be those of the other latents, and the way back from them to these mere chance.
    latents = torch.where(others, latents[:1], latents)
    called = calls(generator, latents[:2])
    call = choose(generator, default_module(task, called) if module is None else module, called, 2)
    flat = latents[:, columns.to(latents.device)].cpu().double()
    rows = _activations(task, call, latents, batch)
    count = task.wanted(len(columns))
    vectors, spectrum = principal(rows, flat, count)
    if len(vectors) == 0:
        which = "latents" if task.layers is None else f"latents of {name}"
        raise UserError(f"what the module {call.name} puts out does not depend on the {which}: name another one")
    halves = [principal(rows[i::2], flat[i::2], count + MARGIN) for i in range(2)]
    stability = half_stability(vectors, *(half for half, _ in halves))
    errors = half_errors(spectrum[: len(vectors)], *(values for _, values in halves))
    embedded = torch.zeros(len(vectors), generator.latent_size, dtype=torch.float64)
    embedded[:, columns] = vectors
    settings = {
        "layers": None if task.layers is None else list(task.layers),
        "module": call.name,
        "samples": samples,
        "batch": batch,
    }
    layer = call.name if task.layers is None else f"{call.name}, {name}"
    return Result([Found(layer, embedded, spectrum, stability=stability, errors=errors)], settings, seeded=True)


def principal(activations: Tensor, latents: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """PCA and the map back.

    Args:
        activations: ``(n, m)`` float64.
        latents: ``(n, q)`` float64, what they were computed from.
        count: how many directions, at most; fewer where the activations vary in fewer.

    Returns:
        Directions ``(k, q)`` of unit length and the standard deviations along all components, in descending order but
        for those without a direction, which come after those with one.
    """
    left, values, _ = torch.linalg.svd(activations - activations.mean(0), full_matrices=False)
    kept = min(count, int((values > NOISE * values[0]).sum()))
    # The coordinates are uncorrelated: the regression of the latents on all of them is that on each by itself.
    slopes = left[:, :kept].mT @ (latents - latents.mean(0))
    lengths = torch.linalg.vector_norm(slopes, dim=1)
    # A component that none of these latents moves has no direction among them.
    moved = lengths > 1e-9 * torch.linalg.vector_norm(latents)
    spectrum = torch.cat([values[:kept][moved], values[:kept][~moved], values[kept:]]) / (len(activations) - 1) ** 0.5
    return slopes[moved] / lengths[moved, None], spectrum


def default_module(task: Task, called: dict[str, Call]) -> str:
    """The module whose activations are taken where none is named; see :func:`find_activations`."""
    names = possible(called, 2)
    if not task.generator.projections():
        raise UserError(
            f"{type(task.generator).__name__} names no layer that its latents enter, so say which module is meant: "
            f"possible: {', '.join(names)}"
        )
    projection = chosen_projections(task)[-1]
    owner = projection.parameter.split(".")[:-1]
    while owner:
        name = ".".join(owner)
        inside = [other for other in names if other.startswith(f"{name}.")]
        if name in names or inside:
            return name if name in names else inside[-1]
        owner.pop()
    raise UserError(
        f"no module of {type(task.generator).__name__} stands for {projection.name}: name one of {', '.join(names)}"
    )


def _activations(task: Task, call: Call, latents: Tensor, batch: int) -> Tensor:
    """``(n, m)`` float64 on the CPU with the centred activations' inner products, ``m`` being at most ``n``.

    Of more features than samples only the ``n × n`` products are kept, summed over as many features at a time as
    memory is allowed; for the others the pictures are made again.
    """
    generator = task.generator
    n, features = len(latents), call.output[1:].numel() if call.output is not None else 0
    width = max(1, min(features, HELD // n))
    passes = -(-features // width)
    products = torch.zeros(n, n, dtype=torch.float64)
    for i in range(passes):
        parts = []
        for j, part in enumerate(latents.split(batch)):
            taken = outputs(generator, call, part)[:, i * width : (i + 1) * width]  # type: ignore[arg-type]
            parts.append(taken.cpu() if taken.dtype == torch.float64 else taken.float().cpu())
            done = (i + (j + 1) * batch / n) / passes
            task.progress(min(1.0, done), f"{call.name}: {min(n, (j + 1) * batch)} of {n} pictures")
        rows = torch.cat(parts)
        del parts
        if not bool(rows.isfinite().all()):
            raise UserError(f"what the module {call.name} puts out is not finite: the training has diverged")
        middle, largest = rows.mean(0), rows.abs().amax(0)
        centred = rows - middle
        # What does not depend on the latents differs all the same by rounding, from one batch to the next.
        centred[:, centred.abs().amax(0) <= NOISE * largest] = 0.0
        if features <= n:
            return centred.double()
        products += gram(centred)
    values, vectors = torch.linalg.eigh(products)
    alike: Tensor = vectors * values.clamp_min(0.0).sqrt()
    return alike
