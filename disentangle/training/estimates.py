"""What a recipe takes, without training it: how many parameters, and how long.

The times are in ``timings.json``, which ``benchmarks/recipe_times.py`` writes: seconds of a step of each recipe, and
the machine. An entry counts only for the settings that it was measured with.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from disentangle.data import SETS
from disentangle.training.networks import build_networks
from disentangle.training.recipe import Recipe

TIMINGS = Path(__file__).with_name("timings.json")

NO_TIME = ("summary", "steps", "seed", "log_every", "sample_every", "checkpoint_every", "tensorboard")
"""Settings of a recipe that a step's time does not depend on, or not much."""

NOT_TIMED = ("root", "pictures", "frame")
"""Settings of a recipe's data that it does not depend on either."""

IMAGENET = 1_000
"""Classes of a set whose classes are the user's, as the published recipes have them."""


@dataclass(frozen=True)
class Size:
    """How large a recipe's networks are.

    Attributes:
        model: name of the class that the recipe is for.
        parameters: of it.
        trained: parameters of all networks that are trained.
    """

    model: str
    parameters: int
    trained: int


@cache
def size_of(recipe: Recipe) -> Size:
    """Count the parameters; no memory is taken for them.

    Raises:
        UserError: where a size or a number does not fit the model.
    """
    channels = recipe.data.channels or SETS[recipe.data.name].channels[0]
    with torch.device("meta"):
        networks = list(build_networks(recipe, channels, count_classes(recipe)).values())
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    return Size(type(networks[0]).__name__, counts[0], sum(counts))


def count_classes(recipe: Recipe) -> int:
    """How many classes a classifier tells apart, as far as the description of the data set says."""
    factors = re.findall(r"(\w+) (\d+)", SETS[recipe.data.name].factors)
    wanted = getattr(recipe.loss, "factor", None)
    sizes = [int(size) for name, size in factors if wanted in (None, name)]
    return sizes[0] if sizes else IMAGENET


def settings_hash(recipe: Recipe) -> str:
    """A hash of the settings that a step's time depends on."""
    settings = {name: value for name, value in recipe.to_dict().items() if name not in NO_TIME}
    settings["data"] = {name: value for name, value in settings["data"].items() if name not in NOT_TIMED}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@cache
def timings() -> dict[str, Any]:
    """The contents of ``timings.json``: ``machine``, and ``steps``, name -> ``settings`` and ``seconds``."""
    return json.loads(TIMINGS.read_text())  # type: ignore[no-any-return]


def expected_seconds(name: str, recipe: Recipe) -> float | None:
    """How long the steps of the recipe ``name`` take on the machine of :func:`timings`.

    Returns:
        Infinity where they need a larger machine; None where the recipe was not measured, or with other settings.
    """
    measured = timings()["steps"].get(name)
    if measured is None or measured["settings"] != settings_hash(recipe):
        return None
    return math.inf if measured["seconds"] is None else float(measured["seconds"]) * recipe.steps
