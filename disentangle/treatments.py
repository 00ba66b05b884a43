r"""Orthogonal Pre-SVD treatments: orthogonal loss, nearest orthogonal gradient, optimal learning rate.

They keep the weight of a Pre-SVD layer, or what is done to it, near orthogonal, and with it the matrix that enters the
SVD meta-layer well conditioned and the directions of a generator apart.

Song, Sebe, Wang, "Improving Covariance Conditioning of the SVD Meta-layer by Orthogonality", ECCV 2022, arXiv
2207.02119; "Orthogonal SVD Covariance Conditioning and Latent Disentanglement", TPAMI 2022, arXiv 2212.05599.

A weight of more than two dimensions is viewed as a matrix, its first dimension against all others: ``(out, in·k·k)``
for a convolution and ``(in, out·k·k)`` for a transposed one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.linalg import Null, polar

TREATMENTS = {"ol": "orthogonal loss", "nog": "nearest orthogonal gradient", "olr": "optimal learning rate"}


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
    return polar(_as_matrix("gradient", gradient), null=null, rtol=rtol).reshape(gradient.shape)


def optimal_learning_rate(weight: Tensor, gradient: Tensor) -> Tensor:
    r"""The step length after which the weight would be nearest to orthogonal (OLR).

    :math:`\eta^\star = \frac{w^\top w \, l^\top w}{w^\top w \, l^\top l + 2 (l^\top w)^2}` with w the weight and l the
    gradient as vectors; equally :math:`\frac{\|w\|}{\|l\|} \frac{c}{1 + 2 c^2}`, c the cosine between them, so that it
    is at most :math:`0.354 \|w\| / \|l\|`. It is negative where the step would lengthen the weight, and assumes plain
    SGD: an optimiser that rescales the gradient takes another step than it was computed for.

    Args:
        weight: any shape.
        gradient: the same shape.

    Returns:
        0-dim float64 tensor; 0 where the weight or the gradient is zero, which has no optimal rate.

    Raises:
        ValueError: the shapes differ.
    """
    if weight.shape != gradient.shape:
        raise ValueError(f"weight and gradient must agree in shape, got {tuple(weight.shape)}, {tuple(gradient.shape)}")
    w, l = weight.flatten().double(), gradient.flatten().double()  # noqa: E741
    w_norm, l_norm = torch.linalg.vector_norm(w), torch.linalg.vector_norm(l)
    vanishes = (w_norm == 0) | (l_norm == 0)
    cosine = torch.dot(w / w_norm, l / l_norm)
    return torch.where(vanishes, 0, w_norm / l_norm * cosine / (1 + 2 * cosine.square()))


def orthogonal_loss(weight: Tensor) -> Tensor:
    r"""How far a weight is from orthogonal, :math:`\operatorname{mean}((W W^\top - I)^2)`, over the entries (OL).

    Args:
        weight: at least two dimensions; the smaller side is taken where there are more rows than columns. bfloat16 and
            float16 are computed in float32, also under autocast.

    Returns:
        0-dim tensor, float32 or float64.

    Raises:
        ValueError: fewer than two dimensions, or no entries.
    """
    matrix = _as_matrix("weight", weight)
    if matrix.numel() == 0:
        raise ValueError(f"weight has no entries: shape {tuple(weight.shape)}")
    return _gram_error(matrix).square().mean()


def _as_matrix(what: str, tensor: Tensor) -> Tensor:
    if tensor.ndim < 2:
        raise ValueError(f"{what} must have at least two dimensions, got shape {tuple(tensor.shape)}")
    return tensor.flatten(1)


def _gram_error(matrix: Tensor) -> Tensor:
    """``W Wᵀ − I`` on the smaller side."""
    with torch.autocast(matrix.device.type, enabled=False):
        matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
        matrix = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
        return matrix @ matrix.mT - torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


@dataclass(frozen=True)
class TreatmentConfig:
    """Which treatments the Pre-SVD layers get.

    Attributes:
        names: any of ``ol`` (orthogonal loss), ``nog`` (nearest orthogonal gradient) and ``olr`` (optimal learning
            rate), each at most once; none is possible.
        ol_weight: weight of the orthogonal loss, which is averaged over the layers.
        null: what NOG does with directions the gradient does not have: ``drop`` them or ``fill`` them as published.
        rtol: the singular values, relative to the largest, at which that begins; ``None`` for rounding level. See
            :func:`nearest_orthogonal_gradient`.
    """

    names: tuple[str, ...] = ("nog",)
    ol_weight: float = 100.0
    null: Null = "drop"
    rtol: float | None = None


class Treatment:
    """The treatments of a configuration, bound to weights.

    Add :meth:`penalty` to the loss, build the optimiser on :meth:`param_groups`, and call :meth:`step` in place of the
    optimiser's own.

    Args:
        config: which treatments.
        parameters: the weights of the Pre-SVD layers by name.

    Raises:
        UserError: a treatment is unknown or named twice, the configuration is out of range, there is no weight to
            treat, or a weight is not a matrix or is frozen.
    """

    def __init__(self, config: TreatmentConfig, parameters: Mapping[str, nn.Parameter]) -> None:
        _check(config)
        if config.names and not parameters:
            raise UserError(
                f"treatment {'+'.join(config.names)} is bound to no parameter: name a Pre-SVD weight, or use none"
            )
        for name, parameter in parameters.items() if config.names else ():
            if parameter.ndim < 2 or not parameter.requires_grad:
                why = (
                    "is frozen (requires_grad=False)" if parameter.ndim >= 2 else f"has shape {tuple(parameter.shape)}"
                )
                raise UserError(f"parameter {name!r} {why}: a treatment needs a matrix that is trained")
        self.config = config
        self.parameters = dict(parameters) if config.names else {}
        self._ranks: dict[str, Tensor] = {}
        self._rates: dict[str, float] = {}
        self._used: dict[str, bool] = {}

    def penalty(self) -> Tensor:
        """The orthogonal loss, weighted and averaged over the weights: 0-dim; zero without ``ol``."""
        if "ol" not in self.config.names:
            return torch.zeros(())
        losses = [orthogonal_loss(parameter) for parameter in self.parameters.values()]
        return self.config.ol_weight * torch.stack(losses).mean()

    def param_groups(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser: with ``olr`` each bound weight in its own, after one group of all others.

        Raises:
            UserError: a bound weight is not among ``parameters``.
        """
        everything = list(parameters)
        present = {id(parameter) for parameter in everything}
        for name, parameter in self.parameters.items():
            if id(parameter) not in present:
                raise UserError(f"treated parameter {name!r} is not among those given to the optimiser")
        alone = self.parameters if "olr" in self.config.names else {}
        treated = {id(parameter) for parameter in alone.values()}
        others = [parameter for parameter in everything if id(parameter) not in treated]
        return [{"params": group} for group in (others, *([parameter] for parameter in alone.values())) if group]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        r"""Treat the gradients, which are final (averaged over processes, unscaled), and take the optimiser's step.

        NOG replaces the gradients; OLR, which sees the replaced ones, gives a weight's group the rate
        :math:`\eta^\star` for this one step where :math:`0 < \eta^\star <` the group's own rate. That rate is put back
        after the step, so schedulers and ``state_dict`` never see another.

        Raises:
            UserError: a bound weight has no gradient or one that is not finite, or, with ``olr``, no parameter group of
                the optimiser holds it alone.
        """
        groups = self._own_groups(optimizer) if "olr" in self.config.names else {}
        base = {name: group["lr"] for name, group in groups.items()}
        gradients = self._gradients()
        if "nog" in self.config.names:
            self._replace_gradients(gradients)
        if groups:
            self._set_rates(groups, gradients)
        try:
            optimizer.step()
        finally:
            for name, group in groups.items():
                group["lr"] = base[name]

    def metrics(self) -> dict[str, float]:
        r"""What the treatments find and did at the last step.

        ``orthogonality/NAME``: :math:`\|W W^\top - I\|_F / \sqrt q` of each weight now, q its smaller side; with
        ``nog`` ``gradient_rank/NAME``, of the gradient; with ``olr`` ``rate/NAME``, the optimal rate, and ``olr_used``,
        the share of weights that took it.
        """
        with torch.no_grad():
            errors = {name: _gram_error(weight.flatten(1)) for name, weight in self.parameters.items()}
            found = {f"orthogonality/{name}": float(e.norm()) / math.sqrt(len(e)) for name, e in errors.items()}
        found |= {f"gradient_rank/{name}": float(round(float(rank))) for name, rank in self._ranks.items()}
        found |= {f"rate/{name}": rate for name, rate in self._rates.items()}
        if self._used:
            found["olr_used"] = sum(self._used.values()) / len(self._used)
        return found

    def _replace_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            try:
                replaced = nearest_orthogonal_gradient(gradient, self.config.null, rtol=self.config.rtol)
            except ValueError as error:
                raise UserError(f"the gradient of {name!r} cannot be made orthogonal: {error}") from error
            gradient.copy_(replaced)
            self._ranks[name] = replaced.double().square().sum()  # of a partial isometry: the number of its directions

    def _own_groups(self, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
        alone = {id(group["params"][0]): group for group in optimizer.param_groups if len(group["params"]) == 1}
        for name, parameter in self.parameters.items():
            if id(parameter) not in alone:
                raise UserError(
                    f"no parameter group of the optimiser holds {name!r} alone, as the optimal learning rate needs: "
                    "build the optimiser on treatment.param_groups(parameters)"
                )
        return {name: alone[id(parameter)] for name, parameter in self.parameters.items()}

    def _set_rates(self, groups: Mapping[str, dict[str, Any]], gradients: Mapping[str, Tensor]) -> None:
        rates = [optimal_learning_rate(self.parameters[name], gradients[name]) for name in groups]
        self._rates = dict(zip(groups, torch.stack(rates).tolist()))
        self._used = {name: 0 < self._rates[name] < float(group["lr"]) for name, group in groups.items()}
        for name, used in self._used.items():
            if used:
                groups[name]["lr"] = self._rates[name]

    def _gradients(self) -> dict[str, Tensor]:
        gradients: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                raise UserError(f"treated parameter {name!r} has no gradient: it took no part in the loss")
            gradients[name] = parameter.grad
        return gradients


def bind(config: TreatmentConfig, model: nn.Module, names: Iterable[str]) -> Treatment:
    """Bind treatments to parameters of ``model`` by their dotted names, ``projection.parameter`` of each projection.

    Raises:
        UserError: a name is unknown or given twice; and as :class:`Treatment`.
    """
    known = dict(model.named_parameters())
    bound: dict[str, nn.Parameter] = {}
    for name in names:
        if name not in known:
            raise unknown_name("parameter", name, [n for n, parameter in known.items() if parameter.ndim >= 2])
        if name in bound:
            raise UserError(f"parameter {name!r} is to be treated twice: name it once")
        bound[name] = known[name]
    return Treatment(config, bound)


def _check(config: TreatmentConfig) -> None:
    for name in config.names:
        if name not in TREATMENTS:
            raise unknown_name("treatment", name, TREATMENTS)
        if config.names.count(name) > 1:
            raise UserError(f"treatment {name!r} is named twice: name it once")
    if not (math.isfinite(config.ol_weight) and config.ol_weight >= 0):
        raise UserError(f"ol_weight must be finite and at least 0, got {config.ol_weight}")
    if config.null not in ("drop", "fill"):
        raise unknown_name("null", config.null, ("drop", "fill"))
    if config.rtol is not None and not 0 <= config.rtol < 1:
        raise UserError(f"rtol must lie in [0, 1), got {config.rtol}")
