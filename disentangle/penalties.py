r"""Penalties that keep what one latent does apart from what another does, by finite differences of any function.

Peebles, Peebles, Zhu, Efros, Torralba, "The Hessian Penalty: A Weak Prior for Unsupervised Disentanglement", ECCV 2020,
arXiv 2008.10599. Wei, Shi, Liu, Ji, Gao, Wu, Zuo, "Orthogonal Jacobian Regularization for Unsupervised Disentanglement
in Image Generation" (OroJaR), ICCV 2021, arXiv 2108.07668.

Both are variances over random directions :math:`v` of independent signs, since for a symmetric matrix A

.. math:: \operatorname{Var}_v[v^\top A v] = 2 \sum_{i \ne j} A_{ij}^2 .

The Hessian penalty takes for A the Hessian of each output, OroJaR :math:`J^\top J` of all outputs together: the one
asks that latents do not interact, the other that they change the outputs in orthogonal directions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

Outputs = Tensor | Sequence[Tensor]
Reduction = Literal["max", "mean"]


def hessian_penalty(
    fn: Callable[[Tensor], Outputs],
    z: Tensor,
    samples: int = 2,
    epsilon: float = 0.1,
    generator: torch.Generator | None = None,
    *,
    reduction: Reduction = "max",
    directions: Tensor | None = None,
    outputs: Outputs | None = None,
) -> Tensor:
    r"""The Hessian penalty of a function: :math:`\operatorname{Var}_v[v^\top H v]` of each output, reduced.

    The second derivative along :math:`v` is :math:`(f(z + εv) - 2 f(z) + f(z - εv)) / ε^2`, exact for polynomials up to
    the third degree.

    Args:
        fn: maps latents ``(n, d)`` to outputs ``(n, …)``, or to several such tensors (layers), of each row by itself
            and without randomness. It is called ``2 * samples`` times, once more without ``outputs``, in full precision
            also under autocast: a difference of bfloat16 numbers is mostly rounding.
        z: latents ``(n, d)``.
        samples: number of directions, at least 2.
        epsilon: length of the steps along each latent. The penalty of what is not smooth, or has large fourth
            derivatives, depends on it.
        generator: source of the directions; the global one if ``None``.
        reduction: of the variances of a layer's outputs and samples: their largest, as published, or their mean. Layers
            are added up.
        directions: instead of drawn ones, ``(samples, n, d)``.
        outputs: ``fn(z)``, where it is known already.

    Returns:
        0-dim tensor, differentiable.

    Raises:
        ValueError: ``z`` is no batch of vectors or empty, an argument is out of range, or a shape does not fit.
    """
    values = hessian_variances(fn, z, samples, epsilon, generator, reduction, directions=directions, outputs=outputs)
    return reduce_variances(values, reduction)


def orojar(
    fn: Callable[[Tensor], Outputs],
    z: Tensor,
    samples: int = 2,
    epsilon: float = 0.1,
    generator: torch.Generator | None = None,
    *,
    reduction: Reduction = "max",
    directions: Tensor | None = None,
    outputs: Outputs | None = None,
) -> Tensor:
    r"""OroJaR: :math:`\operatorname{Var}_v\|J v\|^2` of a function's Jacobian J, all outputs together, reduced.

    The derivative along :math:`v` is :math:`(f(z + εv) - f(z)) / ε`, exact for affine functions. The norm is a sum over
    the outputs of a layer, so the penalty grows with the square of their number; published weights are small.

    Args:
        fn: as for :func:`hessian_penalty`; called ``samples`` times, once more without ``outputs``.
        z: latents ``(n, d)``.
        samples: number of directions, at least 2.
        epsilon: length of the steps along each latent.
        generator: source of the directions; the global one if ``None``.
        reduction: of the variances of a layer's samples: their largest, as published, or their mean. Layers are added
            up.
        directions: instead of drawn ones, ``(samples, n, d)``.
        outputs: ``fn(z)``, where it is known already.

    Returns:
        0-dim tensor, differentiable.

    Raises:
        ValueError: as for :func:`hessian_penalty`.
    """
    values = orojar_variances(fn, z, samples, epsilon, generator, directions=directions, outputs=outputs)
    return reduce_variances(values, reduction)


def reduce_variances(variances: Tensor, reduction: Reduction = "max") -> Tensor:
    """What a penalty is of its variances ``(layers, n)``: over samples their largest or mean, over layers the sum.

    So the two penalties can be had of a batch that is spread over processes: gather the variances first.

    Raises:
        ValueError: the reduction is unknown.
    """
    _check_reduction(reduction)
    return (variances.amax(1) if reduction == "max" else variances.mean(1)).sum()


def hessian_variances(
    fn: Callable[[Tensor], Outputs],
    z: Tensor,
    samples: int = 2,
    epsilon: float = 0.1,
    generator: torch.Generator | None = None,
    reduction: Reduction = "max",
    *,
    directions: Tensor | None = None,
    outputs: Outputs | None = None,
) -> Tensor:
    """The largest or mean variance of each sample's outputs, ``(layers, n)``; see :func:`hessian_penalty`."""
    _check_reduction(reduction)
    steps = _steps(z, samples, epsilon, generator, directions)
    with torch.autocast(z.device.type, enabled=False):
        centre = _layers(fn(z) if outputs is None else outputs, len(z))
        curvatures = []
        for step in steps:
            ahead, behind = (_layers(fn(z + sign * step), len(z)) for sign in (1, -1))
            triples = zip(ahead, centre, behind, strict=True)
            curvatures.append([(a - 2 * c + b).flatten(1) / epsilon**2 for a, c, b in triples])
    variances = [torch.stack(layer).var(0) for layer in zip(*curvatures, strict=True)]
    return torch.stack([v.amax(1) if reduction == "max" else v.mean(1) for v in variances])


def orojar_variances(
    fn: Callable[[Tensor], Outputs],
    z: Tensor,
    samples: int = 2,
    epsilon: float = 0.1,
    generator: torch.Generator | None = None,
    *,
    directions: Tensor | None = None,
    outputs: Outputs | None = None,
) -> Tensor:
    """The variance of each sample's squared slope, ``(layers, n)``; see :func:`orojar`."""
    steps = _steps(z, samples, epsilon, generator, directions)
    with torch.autocast(z.device.type, enabled=False):
        centre = _layers(fn(z) if outputs is None else outputs, len(z))
        squares = []
        for step in steps:
            pairs = zip(_layers(fn(z + step), len(z)), centre, strict=True)
            squares.append(torch.stack([((a - c) / epsilon).flatten(1).square().sum(1) for a, c in pairs]))
    return torch.stack(squares).var(0)


def _steps(
    z: Tensor, samples: int, epsilon: float, generator: torch.Generator | None, directions: Tensor | None
) -> Tensor:
    """Steps ``(samples, n, d)`` from each of the latents: ``epsilon`` times random signs, or times ``directions``."""
    if z.ndim != 2 or z.numel() == 0:
        raise ValueError(f"z must hold latents (n, d), at least one of each, got shape {tuple(z.shape)}")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be above 0 and finite, got {epsilon}")
    if z.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"z must be float32 or float64, got {z.dtype}: a difference of shorter numbers is mostly rounding"
        )
    if directions is None:
        if samples < 2 or samples != int(samples):
            raise ValueError(f"a variance needs at least 2 samples, a whole number, got {samples}")
        device = generator.device if generator is not None else None
        directions = torch.randint(0, 2, (int(samples), *z.shape), generator=generator, device=device) * 2 - 1
    elif directions.ndim != 3 or directions.shape[1:] != z.shape:
        raise ValueError(f"directions must be (samples, {len(z)}, {z.shape[1]}), got {tuple(directions.shape)}")
    if len(directions) < 2:
        raise ValueError(f"a variance needs at least 2 samples, got {len(directions)}")
    return epsilon * directions.to(z)


def _layers(outputs: Outputs, n: int) -> list[Tensor]:
    layers = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if not layers or any(layer.ndim < 1 or len(layer) != n or layer.numel() == 0 for layer in layers):
        shapes = ", ".join(str(tuple(layer.shape)) for layer in layers) or "nothing"
        raise ValueError(f"fn must return one output for each of {n} latents, or several layers of them, got {shapes}")
    return layers


def _check_reduction(reduction: str) -> None:
    if reduction not in ("max", "mean"):
        raise ValueError(f"unknown reduction {reduction!r}: possible: max, mean")
