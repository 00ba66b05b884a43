"""Diffusion models."""

import math
from dataclasses import replace

from disentangle.training.architectures import DiffusionConfig
from disentangle.training.objectives import DiffusionLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# Small ones: the velocity under a cosine schedule, 20 sampling steps.
SMALL = Recipe(
    summary="diffusion model steered in its h-space, nearest orthogonal gradient; 3-D scenes",
    data=DataConfig("scenes", size=32, pictures=20_000),
    model=DiffusionConfig(),
    loss=DiffusionLoss(),
    optimizer=AdamConfig(learning_rate=2e-3, betas=(0.9, 0.99), decay=0.5),
    treatment=TreatmentConfig(("nog",)),
    steps=800,
    batch_size=32,
    ema_pictures=2_000,
    sample_every=400,
    checkpoint_every=400,
)

# As published, Ho, Jain, Abbeel 2020, appendix B: 35.7 million parameters, 114 million at 256×256; a linear schedule of
# 1,000 timesteps, the noise predicted, Adam's own betas, half of the pictures mirrored, an average that keeps 0.9999 of
# itself in a step. The first 5,000 steps, in which the rate rises, are left out. Sampled in 50 steps, as Song, Meng,
# Ermon 2021.
CIFAR = DiffusionConfig(
    codes=16,
    steps=50,
    channels=(128, 256, 256, 256),
    attention=(16,),
    layers=2,
    head_channels=0,
    groups=32,
    dropout=0.1,
    schedule="linear",
    prediction="epsilon",
)
HALF_LIFE = round(math.log(2) / 1e-4)  # in steps
PUBLISHED = Recipe(
    summary="DDPM, published settings; CIFAR-10, 32×32",
    data=DataConfig("cifar-10", size=32, channels=3, flip=True),
    model=CIFAR,
    loss=DiffusionLoss(),
    optimizer=AdamConfig(learning_rate=2e-4, betas=(0.9, 0.999)),
    treatment=TreatmentConfig(()),
    steps=800_000,
    batch_size=128,
    ema_pictures=HALF_LIFE * 128,
    sample_every=10_000,
    checkpoint_every=10_000,
)

RECIPES: dict[str, Recipe] = {
    "scenes-diffusion": SMALL,
    "cifar10-ddpm": PUBLISHED,
    "celebahq-ddpm": replace(
        PUBLISHED,
        summary="DDPM, published settings, 256×256 (CelebA-HQ: --data.root FOLDER)",
        data=DataConfig("folder", size=256, channels=3, flip=True),
        model=replace(CIFAR, channels=(128, 128, 256, 256, 512, 512), dropout=0.0),
        optimizer=AdamConfig(learning_rate=2e-5, betas=(0.9, 0.999)),
        steps=500_000,
        batch_size=64,
        ema_pictures=HALF_LIFE * 64,
    ),
}
