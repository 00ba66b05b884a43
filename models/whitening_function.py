r"""The arithmetic of decorrelated batch normalisation, in few passes over memory.

With rows :math:`x_i` of m samples, :math:`y_i = (x_i - \mu) W D + b`, :math:`W = (\Sigma + \varepsilon I)^{-1/2}` and D
the scale on a diagonal, a gradient :math:`g_i` gives

.. math::
    P = \sum_i (x_i - \mu) g_i^\top, \quad s = \sum_i g_i, \quad \partial D = \operatorname{diag}(W P), \quad
    \partial x_i = W D (g_i - s / m) + \tfrac{2}{m} S (x_i - \mu),

where S is the gradient of the small matrix :math:`\Sigma` that belongs to :math:`P D`, the gradient of W. So a training
step reads the features twice on its way forward and twice on its way back. Groups of channels make W block-diagonal.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed

from disentangle.errors import UserError
from disentangle.linalg import matrix_inverse_sqrt
from disentangle.linalg.checks import working_dtype

CACHED = 2**17
"""Numbers that a CPU works on at a time, such that what it made of them is still in its cache."""


@torch.compiler.disable  # what it refuses depends on the data
def whiten(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float, method: str, together: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Whiten features ``(n, c, h, w)`` by their own statistics, or by those of all processes.

    Args:
        x: features.
        weight: scale ``(c,)``.
        bias: shift ``(c,)``.
        groups: groups of channels.
        eps: absolute ridge.
        method: of the inverse square root.
        together: whether the statistics are those of all processes.

    Returns:
        The whitened features; and, in float64 and without gradient, their mean ``(c,)``, whitening matrices and
        covariances before the ridge, both ``(groups, c / groups, c / groups)``.
    """
    return _Whiten.apply(x, weight, bias, groups, eps, method, together, torch.is_grad_enabled())  # type: ignore[no-any-return]


def running_whiten(x: Tensor, mean: Tensor, whitening: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Whiten features ``(n, c, h, w)`` by a given mean ``(c,)`` and whitening matrices ``(groups, c', c')``."""
    with torch.autocast(x.device.type, enabled=False):
        factor, offset = _affine_map(mean.double(), blocks_to_map(whitening.double()), weight, bias)
        dtype = working_dtype(x)
        out = torch.addmm(offset.to(dtype), _rows(x).to(dtype), factor.to(dtype))
        return _features(out.to(x.dtype), x)


class _Whiten(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        groups: int,
        eps: float,
        method: str,
        together: bool,
        differentiable: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        differentiable = differentiable and ctx.needs_input_grad[0]
        with torch.autocast(x.device.type, enabled=False):
            rows = _rows(x)
            count, mean, scatter = _moments(rows)
            if together:
                count, mean, scatter = _moments_of_all(count, mean, scatter)
            covariance = _blocks(scatter, groups) / count
            _check_count(count, covariance.shape[-1], eps)
            with torch.set_grad_enabled(differentiable):  # a graph of its own, of small matrices
                leaf = covariance.detach().requires_grad_(differentiable)
                root = _inverse_root(leaf, eps, method)
            ctx.leaf, ctx.root = leaf, root
            whitening = root.detach()
            factor, offset = _affine_map(mean, blocks_to_map(whitening), weight, bias)
            out = _mapped(x, rows, factor, offset)
        ctx.save_for_backward(x, weight, bias, mean, factor)
        ctx.count, ctx.eps, ctx.method, ctx.together = count, eps, method, together
        ctx.mark_non_differentiable(mean, whitening, covariance)
        return out, mean, whitening, covariance

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, factor = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable_backward(ctx, grads[0], x, weight, bias), None, None, None, None, None
        grad_x = grad_weight = None
        with torch.autocast(x.device.type, enabled=False):
            rows, grad_rows = _rows(x), _rows(grads[0])
            cross, total = _cross_moments(rows, grad_rows, mean)
            if weight is not None:
                grad_weight = (blocks_to_map(ctx.root.detach()) * cross).sum(0).to(weight.dtype)
            grad_bias = None if bias is None else total.to(bias.dtype)
            if ctx.needs_input_grad[0]:
                if ctx.together:
                    cross, total = _sum_of_all(cross, total)
                grad_root = _blocks(cross if weight is None else cross * weight, len(ctx.root))
                (grad_leaf,) = torch.autograd.grad(ctx.root, ctx.leaf, grad_root, retain_graph=True)
                through = blocks_to_map(grad_leaf + grad_leaf.mT) / ctx.count
                constant = -(total @ factor.mT) / ctx.count - mean @ through
                grad_x = _mapped(x, grad_rows, factor.mT, constant, rows, through)
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _differentiable_backward(
    ctx: Any, grad: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The gradients once more, by automatic differentiation, so that they can be differentiated themselves."""
    if ctx.together:
        raise RuntimeError(
            "DecorrelatedBatchNorm2d can be differentiated twice on one process only: take the second derivative in "
            "evaluation mode, or do without it"
        )
    with torch.autocast(x.device.type, enabled=False):
        rows = _rows(x).double()
        mean = rows.mean(0)
        centred = rows - mean
        whitening = _inverse_root(_blocks(centred.mT @ centred, len(ctx.root)) / ctx.count, ctx.eps, ctx.method)
        factor, offset = _affine_map(mean, blocks_to_map(whitening), weight, bias)
        out = _features((rows @ factor + offset).to(x.dtype), x)
        inputs = [t for t, needed in zip((x, weight, bias), ctx.needs_input_grad) if t is not None and needed]
        found = iter(torch.autograd.grad(out, inputs, grad, create_graph=True))
    return tuple(
        next(found) if t is not None and needed else None for t, needed in zip((x, weight, bias), ctx.needs_input_grad)
    )


def blocks_to_map(blocks: Tensor) -> Tensor:
    """Matrices ``(groups, c', c')`` to the block-diagonal one ``(c, c)``."""
    return blocks[0] if len(blocks) == 1 else torch.block_diag(*blocks)


def _blocks(matrix: Tensor, groups: int) -> Tensor:
    """The diagonal blocks ``(groups, c', c')`` of ``(c, c)``."""
    width = len(matrix) // groups
    return matrix.view(groups, width, groups, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()


def _affine_map(mean: Tensor, whitening: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Matrix and offset such that ``row @ matrix + offset`` is the whitened, scaled and shifted row."""
    factor = whitening if weight is None else whitening * weight.to(whitening.dtype)
    offset = -(mean @ factor)
    return factor, offset if bias is None else offset + bias.to(offset.dtype)


def _inverse_root(covariance: Tensor, eps: float, method: str) -> Tensor:
    try:
        return matrix_inverse_sqrt(covariance, method, eps=eps)
    except ValueError as error:
        if not bool(torch.isfinite(covariance).all()):
            raise UserError("cannot whiten a batch that has NaN or infinite values") from error
        raise UserError(f"cannot whiten a batch by its covariance a: {error}") from error


def _check_count(count: float, width: int, eps: float) -> None:
    if count < 2:
        raise UserError(f"cannot whiten a batch of {count:.0f} sample(s) (pictures × positions): it takes at least two")
    if eps == 0 and count <= width:
        raise UserError(
            f"cannot whiten groups of {width} channels with {count:.0f} samples (pictures × positions) and no ridge: "
            f"take at least {width + 1} samples, more groups or eps > 0"
        )


def _rows(x: Tensor) -> Tensor:
    """Features ``(n, c, h, w)`` as samples ``(n·h·w, c)``: a view where they lie channels-last in memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _features(rows: Tensor, like: Tensor) -> Tensor:
    """Samples ``(n·h·w, c)`` as features of the shape and memory format of ``like``."""
    n, c, h, w = like.shape
    features = rows.view(n, h, w, c).permute(0, 3, 1, 2)
    return features if like.is_contiguous(memory_format=torch.channels_last) else features.contiguous()


def _pieces(*rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    size = max(1, CACHED // rows[0].shape[1]) if rows[0].device.type == "cpu" else max(1, len(rows[0]))
    return zip(*(r.split(size) for r in rows), strict=True)


def _moments(rows: Tensor) -> tuple[float, Tensor, Tensor]:
    """Number of samples, their mean ``(c,)`` and scatter ``(c, c)``, :math:`\\sum_i (x_i-\\mu)(x_i-\\mu)^\\top`."""
    count, width = rows.shape
    total = torch.zeros(width, dtype=torch.float64, device=rows.device)
    scatter = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    if not count:
        return 0.0, total, scatter
    # About any point near the mean; one pass, and no digits lost where the mean is large.
    exact = torch.float64 if rows.device.type != "cpu" else working_dtype(rows)  # others may round products to 10 bits
    near = rows[: CACHED // width + 1].to(exact).mean(0)
    for (piece,) in _pieces(rows):
        shifted = piece - near
        total += shifted.sum(0)
        scatter += shifted.mT @ shifted
    away = total / count
    return float(count), near.double() + away, scatter - count * torch.outer(away, away)


def _moments_of_all(count: float, mean: Tensor, scatter: Tensor) -> tuple[float, Tensor, Tensor]:
    """The moments of the samples of all processes, from each one's own (Chan, Golub, LeVeque, 1979)."""
    mine = torch.cat([mean.new_tensor([count]), mean, scatter.flatten()])
    all_of_them = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(all_of_them, mine)
    width = len(mean)
    counts, means, scatters = torch.stack(all_of_them).split([1, width, width * width], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total.clamp_min(1)
    away = means - mean
    return float(total), mean, scatters.sum(0).view(width, width) + (counts * away).mT @ away


def _sum_of_all(cross: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Both, summed over all processes."""
    both = torch.cat([cross, total[None]])
    distributed.all_reduce(both)
    return both[:-1], both[-1]


def _cross_moments(rows: Tensor, grads: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """:math:`\\sum_i (x_i - \\mu) g_i^\\top` ``(c, c)`` and :math:`\\sum_i g_i` ``(c,)``, in float64."""
    dtype, width = working_dtype(rows), rows.shape[1]
    cross = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    total = torch.zeros(width, dtype=torch.float64, device=rows.device)
    centre = mean.to(dtype)
    for piece, grad in _pieces(rows, grads):
        grad = grad.to(dtype)
        cross += (piece - centre).mT @ grad
        total += grad.sum(0)
    return cross, total


def _mapped(
    like: Tensor,
    rows: Tensor,
    factor: Tensor,
    offset: Tensor,
    others: Tensor | None = None,
    other_factor: Tensor | None = None,
) -> Tensor:
    """``rows @ factor + offset``, plus ``others @ other_factor``, as features of the form of ``like``."""
    dtype = working_dtype(rows)
    factor, offset = factor.to(dtype), offset.to(dtype)
    # The result must be no view: the operation after this one may work in place.
    features = torch.empty_like(like)
    in_place = features.is_contiguous(memory_format=torch.channels_last)
    out = _rows(features) if in_place else torch.empty_like(rows, memory_format=torch.contiguous_format)
    for piece, *more, target in _pieces(*(r for r in (rows, others, out) if r is not None)):
        result = target if target.dtype == dtype else torch.empty_like(target, dtype=dtype)
        torch.addmm(offset, piece.to(dtype), factor, out=result)
        if other_factor is not None:
            result.addmm_(more[0].to(dtype), other_factor.to(dtype))
        if result is not target:
            target.copy_(result)
    if not in_place:
        n, c, h, w = like.shape
        features.copy_(out.view(n, h, w, c).permute(0, 3, 1, 2))
    return features
