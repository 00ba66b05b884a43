"""Find directions of a generator, by any method and with what speaks for and against each."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from disentangle.directions.methods import METHODS, Found, Progress, Task, subspace_projections
from disentangle.directions.record import Directions
from disentangle.errors import check_seed, unknown_name
from disentangle.generator import Encoder, Generator


def discover(
    generator: Generator,
    method: str = "auto",
    *,
    count: int | None = None,
    layers: str | Sequence[str] | None = None,
    seed: int = 0,
    weights: str = "",
    progress: Progress | None = None,
    **options: Any,
) -> Directions:
    """Find directions.

    The sign of a singular vector is arbitrary. Here its largest entry is positive; of entries that are equal to within
    a millionth, the first decides. The same seed gives the same bits on the same machine.

    Args:
        generator: whose latents.
        method: one of :data:`METHODS`, each in a module of :mod:`disentangle.directions.methods` that says where it
            comes from; ``"auto"`` for what :func:`natural_method` says.

            - ``"weights"``: singular vectors of the layers that the latents enter (SeFa). Options: ``stack``, treat the
              layers that see the same latents as one, and ``unit_rows``, bring each feature's row to unit length.
            - ``"subspace"``: the axes that subspace layers have learned. ``"coordinate"`` and ``"random"``: the
              latents' own axes and a random rotation of them, layer by layer. The same options. Singular values are
              how strong the response is; the axes do not follow from them, so that there are no gaps.
            - ``"activations"``: principal components of what a module computes, mapped back to latents (GANSpace).
              Options: ``module``, its dotted name, ``samples`` and ``batch``.
            - ``"jacobian"``: what changes the picture most. Options: ``at``, one latent or its seed, or else
              ``samples`` to average over; ``solver``, ``"exact"`` or ``"iteration"``; ``iterations`` and ``batch``.
            - ``"hspace"``: of a diffusion model's codes. Options: ``basis``, ``"pca"`` or ``"jacobian"``, and
              the Jacobian's.
        count: keep this many, those of the largest singular values. By default all, but of activations and Jacobians
            at most 64, and 16 by iteration.
        layers: name or names of the layers whose latents to look into; all by default.
        seed: what is sampled is drawn from it.
        weights: hash of the generator's weights, kept in the result.
        progress: is told the share that is done, in [0, 1], and what is being done. An exception that it raises ends
            the discovery.
        options: of the method.

    Returns:
        Directions in descending order of the singular values, all layers together, each of unit length in the flat
        latent space. Settings say how they were found.

    Raises:
        UserError: where the method, a layer, a module or an option is unknown or impossible, or the generator is not of
            the kind that the method needs.
        ValueError: where ``count`` is less than one.
    """
    method = natural_method(generator) if method == "auto" else method
    if method not in METHODS:
        raise unknown_name("discovery method", method, ["auto", *METHODS])
    if count is not None and count < 1:
        raise ValueError(f"expected at least one direction, got {count}")
    check_seed(seed)
    known = option_names(method)
    for name in options:
        if name not in known:
            raise unknown_name(f"option of the method {method}", name, known)
    names = None if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    task = Task(generator, count, names, seed, progress or (lambda share, text: None))
    result = METHODS[method](task, **options)
    settings = result.settings | {"count": count, "seeded": result.seeded}
    found = _together(result.found, count)
    return Directions(method=method, settings=settings, seed=seed, weights=weights, **found)


def option_names(method: str) -> tuple[str, ...]:
    """The options of a method, beside those that all have."""
    parameters = inspect.signature(METHODS[method]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def natural_method(generator: Generator) -> str:
    """The method whose directions a generator's training meant to separate.

    Returns:
        ``"subspace"`` where there is a subspace layer; else ``"coordinate"`` where there is an encoder, whose codes
        these are; else ``"weights"``, or ``"jacobian"`` where it names no layers.
    """
    if subspace_projections(generator):
        return "subspace"
    if isinstance(generator, Encoder):
        return "coordinate"
    return "weights" if generator.projections() else "jacobian"


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


def _together(found: Sequence[Found], count: int | None) -> dict[str, Any]:
    """The fields of :class:`Directions` that follow from what was found, the layers merged and sorted."""
    values, shares, gaps, stability, errors, names = [], [], [], [], [], []
    for each in found:
        k = len(each.vectors)
        squares = each.spectrum.square()
        total = float(squares.sum()) if each.total is None else each.total
        values.append(each.spectrum[:k])
        shares.append(squares[:k] / max(total, 1e-300))
        gaps.append(torch.full((k,), torch.inf).double() if each.given else spectral_gaps(each.spectrum)[:k])
        stability.append(torch.zeros(k, dtype=torch.float64) if each.stability is None else each.stability)
        largest = max(float(each.spectrum.max()), 1e-300)
        errors.append(torch.zeros(k, dtype=torch.float64) if each.errors is None else each.errors / largest)
        names += [each.layer] * k
    order = torch.argsort(torch.cat(values), descending=True, stable=True)[:count]
    vectors = _fix_signs(torch.cat([each.vectors for each in found])[order])
    return {
        "vectors": vectors.float(),
        "sigma": torch.ones(len(order)),  # the prior has unit variance in every direction
        "singular_values": torch.cat(values)[order].float(),
        "shares": torch.cat(shares)[order].float(),
        "gaps": torch.cat(gaps)[order].float(),
        "stability": torch.cat(stability)[order].float(),
        "errors": torch.cat(errors)[order].float() if any(each.errors is not None for each in found) else None,
        "layers": tuple(names[i] for i in order.tolist()),
    }


def _fix_signs(vectors: Tensor) -> Tensor:
    """Turn each row so that its largest entry is positive; the first of those equal to within a millionth decides."""
    sizes = vectors.abs()
    largest = (sizes >= (1 - 1e-6) * sizes.amax(1, keepdim=True)).to(torch.uint8).argmax(1)
    return vectors * torch.sign(vectors.gather(1, largest[:, None]))
