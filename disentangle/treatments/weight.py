"""A weight that is treated: the tensor that is trained, and what the network makes of it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from disentangle.orthogonal import SkewOrthogonalConv2d, skew_part


@dataclass(frozen=True)
class Weight:
    """A treated weight of a model.

    Attributes:
        name: its dotted name in the model, as the user knows it (``"stem.weight"``), wrapped or not.
        module: the module that holds it …
        attribute: … and its name there.
        raw: the parameter that is trained: the weight itself, the free matrix behind a parametrised one, or the raw
            filter of a skew-orthogonal convolution.
    """

    name: str
    module: nn.Module
    attribute: str
    raw: nn.Parameter

    def effective(self) -> Tensor:
        """The weight that the network works with, with gradient: of a skew-orthogonal convolution its exponential.

        Nothing changes: a power iteration makes no step.
        """
        if isinstance(self.module, SkewOrthogonalConv2d):
            return self.module.exponential()
        if not parametrize.is_parametrized(self.module, self.attribute):
            return self.raw
        steps: nn.ModuleList = self.module.parametrizations[self.attribute]  # type: ignore[index, assignment]
        mode = steps.training
        try:
            steps.eval()
            weight: Tensor = getattr(self.module, self.attribute)
        finally:
            steps.train(mode)
        return weight

    def active(self, direction: Tensor) -> Tensor:
        """The part of a direction in the raw weight's space that changes the network: of a raw skew-orthogonal filter
        the skew-symmetric part, of others all."""
        return skew_part(direction) if isinstance(self.module, SkewOrthogonalConv2d) else direction

    @property
    def scale_free(self) -> bool:
        """Whether the network does not depend on the raw weight's length, so that its gradient is at right angles to
        it."""
        wrapped = parametrize.is_parametrized(self.module, self.attribute)
        return wrapped or isinstance(self.module, SkewOrthogonalConv2d)


@torch.no_grad()
def unwrap(module: nn.Module, attribute: str) -> None:
    """Take the parametrisation off a module, in place, and leave the weight as it has been."""
    # A deep copy shares the class that torch made for the original, and taking a parametrisation off takes the
    # property off that class: so the module gets a class of its own first.
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    module.parametrizations[attribute].eval()  # type: ignore[index, union-attr]
    parametrize.remove_parametrizations(module, attribute, leave_parametrized=True)
