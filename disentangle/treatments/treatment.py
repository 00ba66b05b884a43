"""What treatments do in a training step."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.linalg import polar_each
from disentangle.treatments.config import TreatmentConfig
from disentangle.treatments.functions import (
    gram_error,
    optimal_learning_rate,
    unchecked_orthogonal_loss,
)
from disentangle.treatments.weight import Weight

RIGHT_ANGLE = 1e-4
"""Cosines to a scale-free weight below this are rounding: the gradient of one is at right angles to it."""


class Treatment:
    """The treatments of a configuration, bound to weights by :func:`disentangle.treatments.bind`.

    Add :meth:`penalty` to the loss, build the optimiser on :meth:`param_groups`, and call :meth:`step` in place of the
    optimiser's own.

    Args:
        config: which treatments.
        weights: the weights of the Pre-SVD layers, wrapped where the treatments ask for it, by the user's names.

    Raises:
        UserError: the configuration is out of range, or there is no weight to treat.
    """

    def __init__(self, config: TreatmentConfig, weights: Mapping[str, Weight]) -> None:
        config.check()
        if config.names and not weights:
            raise UserError(f"treatment {'+'.join(config.names)} is bound to no parameter: use bind")
        self.config = config
        self.weights = dict(weights) if config.names else {}
        self._nearest: dict[str, Tensor] = {}
        self._rates: dict[str, float] = {}
        self._used: dict[str, bool] = {}

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The tensors that are trained, by the user's names of the weights that are made of them."""
        return {name: weight.raw for name, weight in self.weights.items()}

    def penalty(self) -> Tensor:
        """The orthogonal loss of the effective weights, weighted and averaged over them: 0-dim; zero without ``ol``.

        Not finite where an entry's fourth power is not."""
        if "ol" not in self.config.names:
            return torch.zeros(())
        losses = [unchecked_orthogonal_loss(weight.effective()) for weight in self.weights.values()]
        return self.config.ol_weight * torch.stack(losses).mean()

    def param_groups(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser: with ``olr`` on the gradient each bound weight in its own, after one group
        of all others.

        Raises:
            UserError: a bound weight is not among ``parameters``.
        """
        everything = list(parameters)
        present = {id(parameter) for parameter in everything}
        for name, parameter in self.parameters.items():
            if id(parameter) not in present:
                raise UserError(f"treated parameter {name!r} is not among those given to the optimiser")
        alone = self.parameters if "olr" in self.config.names and self.config.target == "gradient" else {}
        treated = {id(parameter) for parameter in alone.values()}
        others = [parameter for parameter in everything if id(parameter) not in treated]
        return [{"params": group} for group in (others, *([parameter] for parameter in alone.values())) if group]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        r"""Take the optimiser's step, with gradients that are final (averaged over processes, unscaled), and treat
        these, or what the optimiser makes of them.

        ``target="gradient"``: NOG replaces the gradients; OLR, which sees the replaced ones, gives a weight's group the
        rate :math:`\eta^\star` for this one step where :math:`0 < \eta^\star <` the group's own rate. That rate is put
        back after the step, so schedulers and ``state_dict`` never see another.

        ``target="update"``: the direction u of the optimiser's step, :math:`w \leftarrow w - \eta u`, momentum and
        scaling of the gradient included, stands in the gradient's place: NOG replaces it, OLR finds its
        :math:`\eta^\star`. Weight decay is no part of u and is decoupled,
        :math:`w \leftarrow (1 - \eta\lambda) w - \eta u`, as in optimisers of the Muon family, even where the optimiser
        couples it to the gradient as SGD does. The step of an optimiser that looks at the size of a weight (Adafactor,
        LARS, LAMB) cannot be taken apart so.

        Raises:
            UserError: a bound weight has no gradient or one that is not finite, or no parameter group of the optimiser
                holds it, or none holds it alone, as ``olr`` on the gradient needs.
        """
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                raise UserError(f"treated parameter {name!r} has no gradient: it took no part in the loss")
        if not {"nog", "olr"} & set(self.config.names):
            optimizer.step()
        elif self.config.target == "gradient":
            self._step_on_gradient(optimizer)
        else:
            self._step_on_update(optimizer)

    def metrics(self) -> dict[str, float]:
        r"""What the treatments find and did at the last step.

        ``orthogonality/NAME``: :math:`\|W W^\top - I\|_F / \sqrt q` of each effective weight now, q its smaller side;
        with ``nog`` ``gradient_rank/NAME``, of the gradient or update; with ``olr`` ``rate/NAME``, the optimal rate,
        and ``olr_used``, the share of weights that took it.
        """
        with torch.no_grad():
            errors = {name: gram_error(weight.effective().flatten(1)) for name, weight in self.weights.items()}
            found = {f"orthogonality/{name}": float(e.norm()) / math.sqrt(len(e)) for name, e in errors.items()}
            # The squared length of a partial isometry is the number of its directions.
            lengths = {name: torch.linalg.vector_norm(p, dtype=torch.float64) for name, p in self._nearest.items()}
        found |= {f"gradient_rank/{name}": float(round(float(length) ** 2)) for name, length in lengths.items()}
        found |= {f"rate/{name}": rate for name, rate in self._rates.items()}
        if self._used:
            found["olr_used"] = sum(self._used.values()) / len(self._used)
        return found

    def _step_on_gradient(self, optimizer: torch.optim.Optimizer) -> None:
        groups = _groups(optimizer, self.parameters, alone=True) if "olr" in self.config.names else {}
        base = {name: group["lr"] for name, group in groups.items()}
        gradients: dict[str, Tensor] = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        if "nog" in self.config.names:
            for name, nearest in self._nearest_orthogonal(gradients).items():
                gradients[name].copy_(nearest)
        if groups:
            rates = self._rates_taken(gradients, {name: float(rate) for name, rate in base.items()})
            for name in groups:
                if self._used[name]:
                    groups[name]["lr"] = rates[name]
        try:
            optimizer.step()
        finally:
            for name, group in groups.items():
                group["lr"] = base[name]

    def _step_on_update(self, optimizer: torch.optim.Optimizer) -> None:
        groups = _groups(optimizer, self.parameters, alone=False)
        base = {name: float(group["lr"]) for name, group in groups.items()}
        before = {name: parameter.clone() for name, parameter in self.parameters.items()}
        try:
            # From zero, since a difference of weights would have lost most digits of the step, and NOG would make
            # directions of rounding. Weight decay, of which zero has none, is left out by the same means.
            for parameter in self.parameters.values():
                parameter.zero_()
            optimizer.step()
            directions = {n: p / -base[n] for n, p in self.parameters.items() if base[n] != 0}
        finally:
            for name, parameter in self.parameters.items():
                parameter.copy_(before[name])
        if "nog" in self.config.names:
            directions = self._nearest_orthogonal(directions)
        rates = self._rates_taken(directions, base) if "olr" in self.config.names else base
        for name, update in directions.items():
            decay = float(groups[name].get("weight_decay", 0.0))
            self.parameters[name].mul_(1 - rates[name] * decay).add_(update, alpha=-rates[name])

    def _nearest_orthogonal(self, directions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What NOG makes of each direction: of its nearest orthogonal one the part that changes the network."""
        matrices = [direction.flatten(1) for direction in directions.values()]
        try:
            factors = polar_each(matrices, self.config.null, rtol=self.config.rtol)
        except ValueError as error:
            broken = [name for name, direction in directions.items() if not bool(direction.isfinite().all())]
            names = ", ".join(map(repr, broken or directions))
            raise UserError(f"the {self.config.target} of {names} cannot be made orthogonal: {error}") from error
        self._nearest = dict(zip(directions, factors))
        return {
            name: self.weights[name].active(factor.view_as(directions[name])) for name, factor in self._nearest.items()
        }

    def _rates_taken(self, directions: Mapping[str, Tensor], base: Mapping[str, float]) -> dict[str, float]:
        """The rate of each weight in this step: the optimal one of its direction where that is used, else its own."""
        if not directions:
            return dict(base)
        optimal = torch.stack([self._optimal_rate(self.weights[name], d) for name, d in directions.items()])
        self._rates = dict(zip(directions, optimal.tolist()))
        for name, rate in self._rates.items():
            if math.isnan(rate):
                raise UserError(f"the {self.config.target} of {name!r} has NaN or infinite entries: no rate is optimal")
        self._used = {name: 0 < rate < base[name] for name, rate in self._rates.items()}
        return {name: self._rates[name] if self._used.get(name) else base[name] for name in base}

    def _optimal_rate(self, weight: Weight, direction: Tensor) -> Tensor:
        active = weight.active(weight.raw)
        rate = optimal_learning_rate(active, direction)
        if not weight.scale_free:
            return rate
        cosine = F.cosine_similarity(active.flatten().double(), direction.flatten().double(), dim=0, eps=0.0)
        return torch.where(cosine.abs() < RIGHT_ANGLE, 0, rate)


def _groups(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], alone: bool
) -> dict[str, dict[str, Any]]:
    """The optimiser's parameter group of each parameter, which it has to itself where it must be ``alone``."""
    groups = [group for group in optimizer.param_groups if len(group["params"]) == 1 or not alone]
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    for name, parameter in parameters.items():
        if id(parameter) not in found:
            how, what = (" alone", "the optimal learning rate") if alone else ("", "a treated update")
            raise UserError(
                f"no parameter group of the optimiser holds {name!r}{how}, as {what} needs: "
                "build the optimiser on treatment.param_groups(parameters)"
            )
    return {name: found[id(parameter)] for name, parameter in parameters.items()}
