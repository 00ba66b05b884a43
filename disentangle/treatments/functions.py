"""The formulas of the treatments, as pure functions of a weight and its gradient."""

import torch
from torch import Tensor

from disentangle.linalg import Null, polar
from disentangle.orthogonal import as_matrix


def nearest_orthogonal_gradient(gradient: Tensor, null: Null = "drop", *, rtol: float | None = None) -> Tensor:
    r"""The orthogonal matrix nearest to a gradient, :math:`U V^\top` of :math:`G = U S V^\top` (NOG).

    Args:
        gradient: of a weight, at least two dimensions.
        null: what becomes of directions that the gradient does not have: ``"drop"`` leaves them out, ``"fill"`` raises
            them to 1 along arbitrary ones, as published. See :func:`disentangle.linalg.polar`.
        rtol: singular values at or below this fraction of the largest count as none; by default the rounding level of
            the gradient's dtype. A float32 gradient that was computed under bfloat16 autocast is rounded to about 5e-3.

    Returns:
        Shape, dtype and device of ``gradient``.

    Raises:
        ValueError: fewer than two dimensions, not finite, or an unknown ``null``.
    """
    return polar(as_matrix("gradient", gradient), null=null, rtol=rtol).reshape(gradient.shape)


def optimal_learning_rate(weight: Tensor, gradient: Tensor) -> Tensor:
    r"""The step length after which the weight would be nearest to orthogonal (OLR).

    :math:`\eta^\star = \frac{w^\top w \, l^\top w}{w^\top w \, l^\top l + 2 (l^\top w)^2}` with w the weight and l the
    gradient as vectors; equally :math:`\frac{\|w\|}{\|l\|} \frac{c}{1 + 2 c^2}`, c the cosine between them, so that it
    is at most :math:`0.354 \|w\| / \|l\|`. It is negative where the step would lengthen the weight, and assumes plain
    SGD: an optimiser that rescales the gradient takes another step than it was computed for, unless it is computed
    for that optimiser's update.

    Args:
        weight: any shape.
        gradient: the same shape.

    Returns:
        0-dim float64 tensor; 0 where the weight or the gradient is zero, which has no optimal rate, infinite where the
        rate is too large for float64, NaN where an entry is NaN or infinite.

    Raises:
        ValueError: the shapes differ.
    """
    if weight.shape != gradient.shape:
        raise ValueError(f"weight and gradient must agree in shape, got {tuple(weight.shape)}, {tuple(gradient.shape)}")
    w, w_size = _unit_entries(weight)
    l, l_size = _unit_entries(gradient)  # noqa: E741
    w_norm, l_norm = torch.linalg.vector_norm(w), torch.linalg.vector_norm(l)
    cosine = torch.dot(w / w_norm, l / l_norm)
    vanishes = ((w_size == 0) | (l_size == 0) | (cosine == 0)) & torch.isfinite(w_size) & torch.isfinite(l_size)
    return torch.where(vanishes, 0, w_norm / l_norm * cosine / (1 + 2 * cosine.square()) * (w_size / l_size))


def _unit_entries(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor as a float64 vector whose largest entry is 1, so that no square overflows, and that entry's size."""
    vector = tensor.flatten().double()
    size = torch.linalg.vector_norm(vector, torch.inf) if len(vector) else vector.new_zeros(())
    return vector / size, size


def orthogonal_loss(weight: Tensor) -> Tensor:
    r"""How far a weight is from orthogonal, :math:`\operatorname{mean}((W W^\top - I)^2)`, over the entries (OL).

    Args:
        weight: at least two dimensions; the smaller side is taken where there are more rows than columns. bfloat16 and
            float16 are computed in float32, also under autocast.

    Returns:
        0-dim tensor, float32 or float64.

    Raises:
        ValueError: fewer than two dimensions, no entries, or a loss that is not finite, because of an entry that is not
            or of the fourth power of one that is large.
    """
    loss = unchecked_orthogonal_loss(weight)
    if not bool(torch.isfinite(loss)):
        largest = float(weight.detach().abs().max())
        raise ValueError(f"the orthogonal loss of a weight with entries up to {largest:.1e} is not finite")
    return loss


def unchecked_orthogonal_loss(weight: Tensor) -> Tensor:
    """As :func:`orthogonal_loss`, not finite where it cannot be: without waiting for the device."""
    matrix = as_matrix("weight", weight)
    if matrix.numel() == 0:
        raise ValueError(f"weight has no entries: shape {tuple(weight.shape)}")
    return gram_error(matrix).square().mean()


def gram_error(matrix: Tensor) -> Tensor:
    """``W Wᵀ − I`` on the smaller side, in float32 or float64."""
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
        matrix = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
        return matrix @ matrix.mT - torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
