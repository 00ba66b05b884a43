"""Tiny trainings on the digits, which come with scikit-learn: one of every family."""

from dataclasses import replace
from pathlib import Path

from disentangle.training.architectures import (
    AutoencoderKLConfig,
    DiffusionConfig,
    EigenGANConfig,
    QLAEConfig,
    ResNetConfig,
    TripodConfig,
    VAEConfig,
    VanillaGANConfig,
)
from disentangle.training.hardware import make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.objectives import (
    BetaTCVAELoss,
    BetaVAELoss,
    ClassifierLoss,
    DiffusionLoss,
    FactorVAELoss,
    GANLoss,
    QLAELoss,
    TripodLoss,
)
from disentangle.training.optimizers import AdamConfig, SGDConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig

TINY = Recipe(
    summary="tiny",
    data=DataConfig("digits", size=32, pictures=100),
    optimizer=AdamConfig(learning_rate=1e-3),
    treatment=TreatmentConfig(("nog",)),
    steps=6,
    batch_size=8,
    ema_pictures=100,
    precision="float32",
    log_every=1,
    sample_every=3,
    checkpoint_every=2,
)
RECIPES = {
    "vae": replace(
        TINY,
        model=VAEConfig(rank=2, base_channels=2, max_channels=4, encoder_channels=2, hidden=8),
        loss=BetaVAELoss(beta=1.0),
    ),
    "beta-tcvae": replace(
        TINY,
        model=VAEConfig(rank=2, base_channels=2, max_channels=4, encoder_channels=2, hidden=8),
        loss=BetaTCVAELoss(sampling="stratified"),
    ),
    "factor-vae": replace(
        TINY,
        model=VAEConfig(decoder="conv", latent_size=4, encoder_channels=2, hidden=8),
        loss=FactorVAELoss(discriminator_hidden=8, discriminator_layers=2),
    ),
    "qlae": replace(
        TINY,
        # So many values that codes which nothing has trained yet have different ones.
        model=QLAEConfig(rank=2, base_channels=2, max_channels=4, encoder_channels=4, hidden=8, values=1_000),
        loss=QLAELoss(),
        optimizer=AdamConfig(learning_rate=1e-3, weight_decay=0.1),
    ),
    "tripod": replace(
        TINY,
        model=TripodConfig(rank=2, base_channels=2, max_channels=4, encoder_channels=4, hidden=8, values=1_000),
        loss=TripodLoss(multi_information=0.1, hessian=0.1, hessian_every=4),
    ),
    "autoencoder-kl": replace(
        TINY,
        model=AutoencoderKLConfig(latent_size=3, block_out_channels=(4, 8), latent_channels=2, norm_groups=2),
        loss=BetaVAELoss(),
        seed=3,
    ),
    "gan": replace(
        TINY,
        model=EigenGANConfig(rank=2, noise=4, base_channels=2, max_channels=4),
        loss=GANLoss(r1_every=2),
    ),
    "relativistic": replace(
        TINY,
        model=VanillaGANConfig(latent_size=4, base_channels=2, max_channels=4),
        seed=1,  # at which the optimal learning rate is positive
        loss=GANLoss(
            adversarial="relativistic",
            r1_weight=0.1,
            r2_weight=0.1,
            r1_every=2,
            augment=0.0,
            penalty="hessian",
        ),
    ),
    "vp": replace(
        TINY,
        model=VanillaGANConfig(latent_size=4, base_channels=2, max_channels=4),
        seed=1,  # at which the optimal learning rate is positive
        loss=GANLoss(adversarial="non-saturating", r1_weight=0.0, gp_weight=20.0, augment=0.0, penalty="vp"),
    ),
    "diffusion": replace(
        TINY,
        model=DiffusionConfig(codes=2, steps=2, fitted_to=6, channels=(2, 4), head_channels=4, groups=2),
        loss=DiffusionLoss(min_snr=5.0),
    ),
    "classifier": replace(
        TINY,
        data=DataConfig("digits", size=32, pictures=100, crop="shift"),
        model=ResNetConfig(depth="small"),
        loss=ClassifierLoss(),
        optimizer=SGDConfig(learning_rate=1e-2, milestones=(0.5,)),
        ema_pictures=0,
        conditioning_every=2,
        test_every=3,
    ),
}


def make_trainer(path: Path, recipe: Recipe) -> Trainer:
    """A trainer of a new run at ``path``."""
    run = Run.draft(path, "tiny", recipe)
    run.create()
    return Trainer(run, run.data(), make_accelerator("cpu"))
