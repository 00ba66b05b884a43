"""The methods of discovery: each a function of a :class:`Task` and of options of its own."""

from collections.abc import Callable

from disentangle.directions.methods.activations import find_activations
from disentangle.directions.methods.base import Found, Progress, Result, Task
from disentangle.directions.methods.coordinate import find_coordinate
from disentangle.directions.methods.hspace import find_hspace
from disentangle.directions.methods.jacobian import find_jacobian
from disentangle.directions.methods.random import find_random
from disentangle.directions.methods.subspace import find_subspace, subspace_projections
from disentangle.directions.methods.weights import find_weights

METHODS: dict[str, Callable[..., Result]] = {
    "weights": find_weights,
    "activations": find_activations,
    "subspace": find_subspace,
    "jacobian": find_jacobian,
    "hspace": find_hspace,
    "random": find_random,
    "coordinate": find_coordinate,
}

__all__ = ["METHODS", "Found", "Progress", "Result", "Task", "subspace_projections"]
