"""Find directions of a generator in its weights.

- ``subspace``: each latent of each subspace layer is a direction, its importance ``|L_j| * |u_j|`` (He, Kan, Shan,
  "EigenGAN", ICCV 2021, arXiv 2104.12476).
- ``weights``: the right singular vectors of the layer that the latents enter (Shen, Zhou, "Closed-Form Factorization of
  Latent Semantics in GANs", CVPR 2021, arXiv 2007.06600, known as SeFa).
- ``coordinate`` and ``random``: the latents' own axes, and a random rotation of them layer by layer, which any
  comparison needs beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from disentangle.directions.file import Directions
from disentangle.errors import UserError, unknown_name
from disentangle.generator import Encoder, Generator, Projection
from disentangle.subspace import SubspaceLayer


@dataclass(frozen=True)
class _Layer:
    """One or more projections of the same latents: their matrices stacked, ``(features, latents)`` in float64."""

    name: str
    latents: slice
    matrix: Tensor


def discover(
    generator: Generator,
    method: str = "auto",
    *,
    count: int | None = None,
    layer: str | Sequence[str] | None = None,
    stack: bool = False,
    unit_rows: bool = False,
    seed: int = 0,
    weights: str = "",
) -> Directions:
    """Find directions.

    The sign of a singular vector is arbitrary. Here its largest entry is positive; of entries that are equal to within
    a millionth, the first decides.

    Args:
        generator: whose latents.
        method: ``"subspace"``, ``"weights"``, ``"coordinate"`` or ``"random"``; ``"auto"`` for what
            :func:`natural_method` says.
        count: keep this many, those of the largest singular values; all by default.
        layer: name or names of the layers to look into; all by default.
        stack: treat the layers that see the same latents as one, their matrices on top of one another; otherwise each
            layer has its own directions.
        unit_rows: bring every feature's row of the matrix to unit length first, an option of SeFa's.
        seed: what ``random`` draws from; the others draw nothing.
        weights: hash of the generator's weights, kept in the result.

    Returns:
        as many directions as each layer has latents, all layers together in descending order of the singular
        values. These are the length of the layer's response to a unit step.

    Raises:
        UserError: where the method or a layer is unknown, or the generator has no layer of the kind that the method
            needs.
        ValueError: where ``count`` is less than one.
    """
    method = natural_method(generator) if method == "auto" else method
    if method not in METHODS:
        raise unknown_name("discovery method", method, ["auto", *METHODS])
    if count is not None and count < 1:
        raise ValueError(f"expected at least one direction, got {count}")
    projections = _selected(_projections(generator, method), layer)
    draw = torch.Generator().manual_seed(seed)
    vectors, values, shares, gaps, names = [], [], [], [], []
    for found in _layers(projections, stack, unit_rows):
        axes = _fix_signs(METHODS[method](found.matrix, draw))
        response = torch.linalg.vector_norm(found.matrix @ axes.mT, dim=0)
        embedded = torch.zeros(len(axes), generator.latent_size, dtype=torch.float64)
        embedded[:, found.latents] = axes
        vectors.append(embedded)
        values.append(response)
        shares.append(response.square() / response.square().sum().clamp_min(1e-300))
        gaps.append(spectral_gaps(response))
        names += [found.name] * len(axes)
    order = torch.argsort(torch.cat(values), descending=True, stable=True)[:count]
    return Directions(
        vectors=torch.cat(vectors)[order].float(),
        sigma=torch.ones(len(order)),  # the prior has unit variance in every direction
        singular_values=torch.cat(values)[order].float(),
        shares=torch.cat(shares)[order].float(),
        gaps=torch.cat(gaps)[order].float(),
        layers=tuple(names[i] for i in order.tolist()),
        method=method,
        settings={"layers": [p.name for p in projections], "stack": stack, "unit_rows": unit_rows},
        seed=seed,
        weights=weights,
    )


def natural_method(generator: Generator) -> str:
    """The method whose directions a generator's training meant to separate.

    Returns:
        ``"subspace"`` where there is a subspace layer; else ``"coordinate"`` where there is an encoder, whose codes
        these are; else ``"weights"``.
    """
    if any(_is_subspace(generator, projection) for projection in generator.projections()):
        return "subspace"
    return "coordinate" if isinstance(generator, Encoder) else "weights"


def spectral_gaps(singular_values: Tensor) -> Tensor:
    """Distance of each singular value to the nearest other one, over the largest of all.

    A perturbation ``E`` of the matrix turns a singular vector by an angle of about ``|E| / (gap * largest)`` (Wedin
    1972): without a gap there is no direction to find.

    Args:
        singular_values: ``(k,)``, not negative, in any order.

    Returns:
        ``(k,)``; infinite for a single value, zero where all are zero.
    """
    values = singular_values.double()
    distances = (values[:, None] - values[None, :]).abs()
    distances.fill_diagonal_(torch.inf)
    nearest = distances.amin(1)
    return nearest / values.max() if float(values.max()) > 0 else torch.where(nearest.isinf(), nearest, 0.0)


def _axes(matrix: Tensor, _: torch.Generator) -> Tensor:
    """The latents' own axes."""
    return torch.eye(matrix.shape[1], dtype=torch.float64)


def _rotation(matrix: Tensor, draw: torch.Generator) -> Tensor:
    """A random orthonormal basis of the latents."""
    latents = matrix.shape[1]
    basis: Tensor = torch.linalg.qr(torch.randn(latents, latents, generator=draw, dtype=torch.float64)).Q
    return basis.mT


def _singular_vectors(matrix: Tensor, _: torch.Generator) -> Tensor:
    """All right singular vectors, ``(latents, latents)``, in descending order; those of a null space come last."""
    # An R factor has the singular vectors of its matrix and is only as large as the latents.
    triangle = torch.linalg.qr(matrix, mode="r").R
    vectors: Tensor = torch.linalg.svd(triangle, full_matrices=True).Vh
    return vectors


METHODS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "subspace": _axes,
    "weights": _singular_vectors,
    "coordinate": _axes,
    "random": _rotation,
}


def _projections(generator: Generator, method: str) -> list[Projection]:
    """The layers that the method works on."""
    projections = list(generator.projections())
    if not projections:
        raise UserError(
            f"{type(generator).__name__} names no layer that its latents enter: there is nothing to discover"
        )
    if method != "subspace":
        return projections
    found = [projection for projection in projections if _is_subspace(generator, projection)]
    if not found:
        names = ", ".join(projection.name for projection in projections)
        raise UserError(
            f"{type(generator).__name__} has no subspace layer (its layers: {names}): possible here: "
            f"{', '.join(sorted(set(METHODS) - {'subspace'}))}"
        )
    return found


def _is_subspace(generator: Generator, projection: Projection) -> bool:
    """Whether the projection's parameter belongs to a subspace layer, directly or through a parametrisation of it."""
    if not isinstance(generator, nn.Module):
        return False
    parts = projection.parameter.split(".")
    owners = (generator.get_submodule(".".join(parts[:i])) for i in range(1, len(parts)))
    return any(isinstance(owner, SubspaceLayer) for owner in owners)


def _selected(projections: list[Projection], layer: str | Sequence[str] | None) -> list[Projection]:
    """Those of the given names, in the network's order."""
    if layer is None:
        return projections
    wanted = [layer] if isinstance(layer, str) else list(layer)
    known = [projection.name for projection in projections]
    for name in wanted:
        if name not in known:
            raise unknown_name("layer", name, known)
    if not wanted:
        raise UserError(f"no layer chosen: possible: {', '.join(known)}")
    return [projection for projection in projections if projection.name in wanted]


def _layers(projections: list[Projection], stack: bool, unit_rows: bool) -> list[_Layer]:
    """The matrices to decompose, in float64 on the CPU."""
    groups: dict[object, list[Projection]] = {}
    for projection in projections:
        key = (projection.latents.start, projection.latents.stop) if stack else projection.name
        groups.setdefault(key, []).append(projection)
    layers = []
    for members in groups.values():
        matrix = torch.cat([member.matrix().detach().cpu().double() for member in members])
        if not bool(matrix.isfinite().all()):
            raise UserError(f"the weights of {members[0].name} are not finite: the training has diverged")
        if unit_rows:
            matrix = nn.functional.normalize(matrix, dim=1)
        layers.append(_Layer(" + ".join(member.name for member in members), members[0].latents, matrix))
    return layers


def _fix_signs(vectors: Tensor) -> Tensor:
    """Turn each row so that its largest entry is positive; the first of those equal to within a millionth decides."""
    sizes = vectors.abs()
    largest = (sizes >= (1 - 1e-6) * sizes.amax(1, keepdim=True)).to(torch.uint8).argmax(1)
    return vectors * torch.sign(vectors.gather(1, largest[:, None]))
