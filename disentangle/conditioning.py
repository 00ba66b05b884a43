r"""Condition numbers of what enters an SVD meta-layer.

Song, Sebe, Wang, "Improving Covariance Conditioning of the SVD Meta-layer by Orthogonality", ECCV 2022, arXiv
2207.02119.
"""

import math
import statistics
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

ROUNDING = {torch.float64: 0.0, torch.float32: 5e-8, torch.bfloat16: 3e-6, torch.float16: 1e-7}
"""Eigenvalues up to this fraction of the largest may come from rounding, where features of a dtype are rounded once and
their products summed in float32; found with maps of rank 27, whose other eigenvalues would be zero."""


@dataclass(frozen=True)
class ConditionNumber:
    r"""How well conditioned symmetric positive semi-definite matrices are, ``(...)`` for a batch ``(..., n, n)``.

    ``float(…)`` of a single matrix's is its :attr:`value`.

    Attributes:
        value: :math:`\kappa = \lambda_{\max} / \lambda_{\min}`, float64; infinite for a singular matrix, zero included,
            which is one whose least eigenvalue cannot be told from zero in float64.
        rank: the numerical rank, int64: how many eigenvalues are above ``rtol`` times the largest.
        over_rank: the condition number over these eigenvalues alone, float64; infinite for a zero matrix, that has
            none.
        with_ridge: :math:`(\lambda_{\max} + \varepsilon) / (\lambda_{\min} + \varepsilon)`, float64; ``None`` where no
            ridge was given.
    """

    value: Tensor
    rank: Tensor
    over_rank: Tensor
    with_ridge: Tensor | None = None

    def __float__(self) -> float:
        if self.value.numel() != 1:
            raise ValueError(f"these are the condition numbers of {self.value.numel()} matrices: see value")
        return float(self.value)


@torch.no_grad()
def condition_number(
    covariance: Float[Tensor, "*batch n n"], *, eps: float | None = None, rtol: float | None = None
) -> ConditionNumber:
    r"""The condition number :math:`\lambda_{\max} / \lambda_{\min}` of covariances, and what stands behind it.

    A covariance of less than full rank has no finite condition number; once rounding has raised its zero eigenvalues,
    the number is finite and means nothing. Hence the rank beside it, and the condition number over the rank.

    Args:
        covariance: symmetric positive semi-definite matrices, computed in float64, **without** the ridge.
        eps: the **absolute** ridge that the meta-layer adds, for :attr:`ConditionNumber.with_ridge`.
        rtol: eigenvalues at or below this fraction of the largest count as zero in the rank; by default n machine
            epsilons of the matrices' dtype.

    Raises:
        TypeError: no tensor.
        ValueError: not square, real floating-point matrices of at least one row, NaN or infinite entries, asymmetric,
            or a negative eigenvalue beyond rounding; ``eps`` negative or ``rtol`` outside [0, 1).
    """
    if not isinstance(covariance, Tensor):
        raise TypeError(f"covariance must be a torch.Tensor, got {type(covariance).__name__}")
    if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2] or covariance.shape[-1] == 0:
        raise ValueError(f"covariance must be square matrices (..., n, n), n ≥ 1, got {tuple(covariance.shape)}")
    if not covariance.is_floating_point():
        raise ValueError(f"covariance must be real floating-point numbers, got {covariance.dtype}")
    if eps is not None and not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps, the ridge, must be finite and at least 0, got {eps}")
    n, exact = covariance.shape[-1], torch.finfo(torch.float64).eps
    machine = torch.finfo(covariance.dtype).eps
    if rtol is None:
        rtol = n * machine
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol must lie in [0, 1), got {rtol}")
    values = _eigenvalues(covariance.double(), machine, 10 * max(n * machine, rtol))
    largest, least = values[..., -1], values[..., 0]
    infinite = torch.full_like(largest, math.inf)
    kept = (values > rtol * largest[..., None]) & (values > 0)
    smallest_kept = values.where(kept, math.inf).amin(-1)
    return ConditionNumber(
        value=torch.where(least > n * exact * largest, largest / least, infinite),
        rank=kept.sum(-1),
        over_rank=torch.where(kept.any(-1), largest / smallest_kept, infinite),
        with_ridge=None if eps is None else _ratio(largest + eps, least.clamp_min(0) + eps),
    )


def covariances(model: nn.Module) -> dict[str, Tensor]:
    """The covariances that entered the SVD meta-layers of ``model`` in its last training step, by the layers' names.

    A meta-layer is any module with an attribute ``last_covariance``, ``(..., n, n)``, without gradient and before the
    ridge; one that is ``None`` has not been trained yet and is left out.
    """
    return {name: module.last_covariance for name, module in _layers(model).items()}  # type: ignore[misc]


def condition_metrics(model: nn.Module) -> dict[str, float]:
    r"""The conditioning of the SVD meta-layers of ``model`` in its last training step, for the log of a training.

    Where a layer has several matrices, of groups of channels or of pictures, each number is the median over these,
    which a single singular one does not make infinite.

    Returns:
        For each layer NAME: ``log10_kappa/NAME``, :math:`\log_{10} \kappa` of the covariance before the ridge,
        infinite where it is singular; ``log10_kappa_rank/NAME``, over the numerical rank; ``log10_kappa_ridge/NAME``,
        with the layer's ridge, its attribute ``eps``, if it has one; ``rank/NAME``. Eigenvalues that rounding of the
        features explains, see :data:`ROUNDING`, do not count in the rank; ``last_dtype`` of the layer, if it has that,
        says in what the features were rounded.

    Raises:
        ValueError: a covariance has NaN or infinite entries.
    """
    found: dict[str, float] = {}
    for name, layer in _layers(model).items():
        covariance: Tensor = layer.last_covariance  # type: ignore[assignment]
        eps: float | None = getattr(layer, "eps", None)
        rounding = ROUNDING.get(getattr(layer, "last_dtype", covariance.dtype), 0.0)
        exact = covariance.shape[-1] * torch.finfo(covariance.dtype).eps
        number = condition_number(covariance, eps=eps, rtol=max(rounding, exact))
        found[f"log10_kappa/{name}"] = _median(number.value.log10())
        found[f"log10_kappa_rank/{name}"] = _median(number.over_rank.log10())
        if number.with_ridge is not None:
            found[f"log10_kappa_ridge/{name}"] = _median(number.with_ridge.log10())
        found[f"rank/{name}"] = _median(number.rank)
    return found


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name or type(module).__name__: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, "last_covariance", None), Tensor)
    }


def _eigenvalues(matrices: Tensor, machine: float, negative: float) -> Tensor:
    """Ascending eigenvalues ``(..., n)`` of what is symmetric positive semi-definite up to rounding."""
    if not bool(torch.isfinite(matrices).all()):
        raise ValueError("covariance has NaN or infinite entries")
    scale = matrices.abs().amax((-2, -1))
    asymmetry = (matrices - matrices.mT).abs().amax((-2, -1))
    if bool((asymmetry > 1e3 * machine * scale).any()):
        worst = float((asymmetry / scale.clamp_min(torch.finfo(scale.dtype).tiny)).amax())
        raise ValueError(f"covariance must be symmetric, but C - Cᵀ is {worst:.1e} of its largest entry")
    values: Tensor = torch.linalg.eigvalsh((matrices + matrices.mT) / 2)
    size = values.abs().amax(-1)
    if bool((values[..., 0] < -negative * size).any()):
        worst = float((values[..., 0] / size).nan_to_num().amin())
        raise ValueError(
            f"covariance is not positive semi-definite: its least eigenvalue is {worst:.1e} times its largest in size"
        )
    return values


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """The quotient; infinite over zero, zero itself included."""
    return torch.where(below > 0, above / below, math.inf)


def _median(numbers: Tensor) -> float:
    return float(statistics.median(numbers.flatten().tolist()))
