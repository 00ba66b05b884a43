"""The methods of discovery: each a function of a :class:`Task` and of options of its own."""

from collections.abc import Callable

from disentangle.directions.methods.activations import activations
from disentangle.directions.methods.base import Found, Progress, Result, Task
from disentangle.directions.methods.coordinate import coordinate
from disentangle.directions.methods.hspace import hspace
from disentangle.directions.methods.jacobian import jacobian
from disentangle.directions.methods.random import random
from disentangle.directions.methods.subspace import subspace, subspace_projections
from disentangle.directions.methods.weights import weights

METHODS: dict[str, Callable[..., Result]] = {
    "weights": weights,
    "activations": activations,
    "subspace": subspace,
    "jacobian": jacobian,
    "hspace": hspace,
    "random": random,
    "coordinate": coordinate,
}

__all__ = ["METHODS", "Found", "Progress", "Result", "Task", "subspace_projections"]
