"""The optimisers that a recipe may name, with the learning rates that they give each step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from disentangle.errors import UserError

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class AdamConfig:
    """Adam with decoupled weight decay.

    Attributes:
        learning_rate: learning rate, before it falls.
        betas: decay of the moments.
        weight_decay: decoupled weight decay, of all but what is spared.
        spares: what it spares: vectors, that is biases, the scales of norms and of subspace layers, and QLAE's values;
            or biases, and QLAE's values, alone, as in QLAE's program.
        warmup: steps, at the beginning, over which the rate rises linearly from 0.
        decay: fraction of the steps, at the end, over which the rate falls linearly to 0.
        clip_value: what no entry of a gradient exceeds in size; 0 for no limit.
        clip_norm: what the norm of all gradients together does not exceed; 0 for no limit.
    """

    __pydantic_config__ = STRICT
    kind: Literal["adam"] = "adam"
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: float = 0.0
    spares: Literal["vectors", "biases"] = "vectors"
    warmup: int = 0
    decay: float = 0.0
    clip_value: float = 0.0
    clip_norm: float = 0.0

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of ``step``, counted from 1, of ``steps``."""
        risen = min(1.0, step / max(1, self.warmup))
        return self.learning_rate * min(risen, (steps - step + 1) / max(1.0, self.decay * steps))

    def build(self, groups: list[dict[str, Any]], network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of these groups of the network's parameters; with weight decay, a group with some that are
        spared becomes two."""
        if self.weight_decay > 0:
            spared = self._spared(network)
            parts = [(group, [p for p in group["params"] if p not in spared]) for group in groups]
            kept = [(group | {"weight_decay": 0.0}, [p for p in group["params"] if p in spared]) for group in groups]
            groups = [group | {"params": params} for group, params in parts + kept if params]
        return torch.optim.AdamW(
            groups, lr=self.learning_rate, betas=self.betas, weight_decay=self.weight_decay, fused=True
        )

    def _spared(self, network: nn.Module) -> set[nn.Parameter]:
        named = network.named_parameters()
        if self.spares == "vectors":
            return {parameter for _, parameter in named if parameter.ndim < 2}
        return {parameter for name, parameter in named if name.rpartition(".")[2] in ("bias", "codebook")}

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        _check_shared(self)
        if self.warmup < 0:
            raise UserError(f"optimizer.warmup must be at least 0 steps, got {self.warmup}")
        if not 0 <= self.decay <= 1:
            raise UserError(f"optimizer.decay is a fraction of the steps, between 0 and 1, got {self.decay}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optimizer.betas must lie between 0 and 1, 1 excluded, got {self.betas}")


@dataclass(frozen=True)
class SGDConfig:
    """Stochastic gradient descent with momentum, its rate falling in stairs.

    Attributes:
        learning_rate: initial learning rate.
        momentum: of the velocity.
        weight_decay: added to the gradient.
        milestones: fractions of the steps after which the rate falls …
        gamma: … to this part of itself.
        clip_value: what no entry of a gradient exceeds in size; 0 for no limit.
        clip_norm: what the norm of all gradients together does not exceed; 0 for no limit.
    """

    __pydantic_config__ = STRICT
    kind: Literal["sgd"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    clip_value: float = 0.0
    clip_norm: float = 0.0

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of ``step``, counted from 1, of ``steps``."""
        return self.learning_rate * self.gamma ** sum(step > milestone * steps for milestone in self.milestones)

    def build(self, groups: list[dict[str, Any]], network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of these groups of the network's parameters, all of which decay."""
        return torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
        )

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        _check_shared(self)
        if not 0 <= self.momentum < 1:
            raise UserError(f"optimizer.momentum must lie between 0 and 1, 1 excluded, got {self.momentum}")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise UserError(f"optimizer.milestones are fractions of the steps, between 0 and 1, got {self.milestones}")
        if not 0 < self.gamma <= 1:
            raise UserError(f"optimizer.gamma must be above 0 and at most 1, got {self.gamma}")


def clip_gradients(optimizer: AdamConfig | SGDConfig, parameters: Iterable[Tensor]) -> None:
    """Bring the gradients within the optimiser's limits: first their entries, then their norm."""
    parameters = list(parameters)
    if optimizer.clip_value > 0:
        torch.nn.utils.clip_grad_value_(parameters, optimizer.clip_value)
    if optimizer.clip_norm > 0:
        torch.nn.utils.clip_grad_norm_(parameters, optimizer.clip_norm)


def _check_shared(optimizer: AdamConfig | SGDConfig) -> None:
    if not 0 < optimizer.learning_rate < math.inf:
        raise UserError(f"optimizer.learning_rate must be above 0 and finite, got {optimizer.learning_rate}")
    if not 0 <= optimizer.weight_decay < math.inf:
        raise UserError(f"optimizer.weight_decay must be at least 0 and finite, got {optimizer.weight_decay}")
    for name in ("clip_value", "clip_norm"):
        if not 0 <= getattr(optimizer, name) < math.inf:
            raise UserError(f"optimizer.{name} must be at least 0 and finite, got {getattr(optimizer, name)}")
