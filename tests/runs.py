"""Run folders of small, untrained networks, for tests that need a run and not its quality."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from disentangle.models import BetaVAE, EigenGAN
from disentangle.subspace import SubspaceLayer
from disentangle.training import checkpoint
from disentangle.training.architectures import EigenGANConfig, VAEConfig
from disentangle.training.objectives import BetaVAELoss
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig


def gan_run(path: Path, seed: int = 0, step: int = 10) -> Run:
    """A run of an EigenGAN, grey, 32 pixels, 18 directions, whose first layers visibly change the picture."""
    config = EigenGANConfig(noise=8, base_channels=4, max_channels=16)
    model = EigenGAN(size=32, channels=1, noise=8, base_channels=4, max_channels=16, seed=seed)
    return _write(path, model, step, Recipe(data=DataConfig("digits", size=32), model=config))


def vae_run(path: Path, seed: int = 0, step: int = 10) -> Run:
    """A run of a β-VAE, RGB, 32 pixels, 6 directions."""
    config = VAEConfig(rank=2, base_channels=4, max_channels=16)
    model = BetaVAE(size=32, channels=3, rank=2, base_channels=4, max_channels=16, seed=seed)
    return _write(path, model, step, Recipe(data=DataConfig("scenes", size=32), model=config, loss=BetaVAELoss()))


def _write(path: Path, model: EigenGAN | BetaVAE, step: int, recipe: Recipe) -> Run:
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, SubspaceLayer):
                layer.scale *= 5.0
    run = Run.draft(path, "tiny", recipe)
    if not (path / "config.json").exists():
        run.create()
    checkpoint.save(run, step, {"generator": model, "ema": model}, {})
    return run


def recorded_run(
    path: Path,
    names: Sequence[str] = (),
    seed: int = 0,
    *,
    steps: int = 100,
    rows: Sequence[Mapping[str, Any]] = (),
    scores: Mapping[str, float] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """A finished run as far as it can be read without its networks: recipe, rows and, where given, scores.

    Args:
        path: where to.
        names: its treatments.
        seed: its seed.
        steps: how many it has done, all of them.
        rows: of ``metrics.jsonl``.
        scores: name -> value in ``report.json``.
        settings: changes of the recipe.
    """
    recipe = Recipe(
        data=DataConfig("digits", size=32),
        model=VAEConfig(),
        loss=BetaVAELoss(),
        treatment=TreatmentConfig(tuple(names)),
        steps=steps,
        seed=seed,
    )
    run = Run.draft(path, "tiny", replace(recipe, **(settings or {})))
    run.create()
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.checkpoint_path(steps).mkdir(parents=True)
    (run.checkpoint_path(steps) / "trainer.json").write_text("{}")
    if scores is not None:
        entries = [{"name": n, "value": v, "better": "higher", "variant": "as ever"} for n, v in scores.items()]
        (path / "report.json").write_text(json.dumps({"version": 1, "step": steps, "scores": entries}))
    return run
