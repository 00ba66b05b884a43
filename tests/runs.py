"""Run folders of small, untrained networks, for tests that need a run and not its quality."""

from pathlib import Path

import torch

from disentangle.models import BetaVAE, EigenGAN
from disentangle.training import checkpoint
from disentangle.training.recipe import BetaVAEConfig, DataConfig, EigenGANConfig, Recipe, VAELoss
from disentangle.training.run import Run


def gan_run(path: Path, seed: int = 0, step: int = 10) -> Run:
    """A run of an EigenGAN, grey, 32 pixels, 18 directions, whose first layers visibly change the picture."""
    config = EigenGANConfig(noise=8, base_channels=4, max_channels=16)
    model = EigenGAN(size=32, channels=1, noise=8, base_channels=4, max_channels=16, seed=seed)
    return _write(path, model, step, Recipe(data=DataConfig("digits", size=32), model=config))


def vae_run(path: Path, seed: int = 0, step: int = 10) -> Run:
    """A run of a β-VAE, RGB, 32 pixels, 6 directions."""
    config = BetaVAEConfig(rank=2, base_channels=4, max_channels=16)
    model = BetaVAE(size=32, channels=3, rank=2, base_channels=4, max_channels=16, seed=seed)
    return _write(path, model, step, Recipe(data=DataConfig("scenes", size=32), model=config, loss=VAELoss()))


def _write(path: Path, model: EigenGAN | BetaVAE, step: int, recipe: Recipe) -> Run:
    with torch.no_grad():
        for block in model.blocks:
            block.subspace.scale *= 5.0
    run = Run.draft(path, "tiny", recipe)
    if not (path / "config.json").exists():
        run.create()
    checkpoint.save(run, step, {"generator": model, "ema": model}, {})
    return run
