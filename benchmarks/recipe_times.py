"""Seconds of a training step of every recipe: writes disentangle/training/timings.json, which `disentangle list` reads.

    python benchmarks/recipe_times.py [RECIPE …]

One thread, and the processor's time instead of the clock's: so a machine that is busy besides tells much the same as an
idle one. Pictures are noise, and cost nothing. Recipes whose step takes more memory than a small machine has are passed
over, and marked as such.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from disentangle.data import SETS
from disentangle.training.estimates import TIMINGS, count_classes, settings_hash
from disentangle.training.hardware import has_bfloat16_units, make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.recipe import Recipe
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run

LARGEST = 64 * 256**2
"""Pixels of a batch from which on a recipe is passed over."""

SECONDS, MOST, STEPS = 10.0, 60.0, 16
"""Time for a recipe, and what is not exceeded by more than a step to make the steps a multiple of this: some terms are
lazy."""


class Noise:
    """A labelled set of pictures that is there at once."""

    def __init__(self, recipe: Recipe) -> None:
        self.name, self.size = recipe.data.name, recipe.data.size * (8 if recipe.data.crop == "resized" else 7) // 7
        self.channels = recipe.data.channels or SETS[recipe.data.name].channels[0]
        self.pictures = torch.randint(0, 256, (16, self.channels, self.size, self.size), dtype=torch.uint8)
        self.factor_names, self.factor_sizes = (
            (getattr(recipe.loss, "factor", None) or "class",),
            (count_classes(recipe),),
        )
        self.factor_values = (tuple(map(str, range(self.factor_sizes[0]))),)

    def __len__(self) -> int:
        return 1_024

    def images(self, indices: Tensor) -> Tensor:
        return self.pictures[indices % len(self.pictures)]

    def factors(self, indices: Tensor) -> Tensor:
        return indices[:, None] % self.factor_sizes[0]


def seconds_per_step(recipe: Recipe) -> float:
    """The mean over a number of steps."""
    recipe = replace(recipe, data=replace(recipe.data, pictures=None), test_every=0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Run.draft(Path(folder), "timed", recipe), Noise(recipe), make_accelerator("cpu"))
        trainer.step(1)
        done, began, spent = 0, time.process_time(), 0.0
        while spent < (SECONDS if done % STEPS == 0 else MOST):
            trainer.step(done + 2)
            done, spent = done + 1, time.process_time() - began
        return spent / done


def machine() -> str:
    """What it is measured on, in words."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    precision = "bfloat16" if has_bfloat16_units(torch.device("cpu")) else "float32"
    return f"one core ({model}, {precision})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes; by default all")
    names = parser.parse_args().recipes
    torch.set_num_threads(1)
    old = json.loads(TIMINGS.read_text()) if TIMINGS.exists() else {}
    # A single recipe may be measured again, but the table is of one machine.
    steps = old["steps"] if names and old.get("machine") == machine() else {}
    for name in names or RECIPES:
        recipe = RECIPES[name]
        small = recipe.batch_size * recipe.data.size**2 < LARGEST
        seconds = round(seconds_per_step(recipe), 5) if small else None
        steps[name] = {"settings": settings_hash(recipe), "seconds": seconds}
        sys.stdout.write(f"{name:<32} {'too large' if seconds is None else f'{1000 * seconds:8.1f} ms'}\n")
        sys.stdout.flush()
        kept = {name: steps[name] for name in RECIPES if name in steps}
        TIMINGS.write_text(json.dumps({"machine": machine(), "steps": kept}, indent=2) + "\n")


if __name__ == "__main__":
    main()
