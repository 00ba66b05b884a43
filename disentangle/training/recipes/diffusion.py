"""Diffusion models."""

from dataclasses import replace

from disentangle.training.architectures import DiffusionConfig
from disentangle.training.objectives import DiffusionLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# The velocity under a cosine schedule; fitted and drawn twice, which costs as much as some 100 steps each time.
SMALL = Recipe(
    model=DiffusionConfig(fitted_to=128),
    loss=DiffusionLoss(),
    optimizer=AdamConfig(learning_rate=2e-3, betas=(0.9, 0.99), decay=0.5),
    treatment=TreatmentConfig(()),
    steps=1_000,
    batch_size=32,
    ema_pictures=2_000,
    sample_every=500,
    checkpoint_every=500,
)

# Ho, Jain, Abbeel 2020, arXiv 2006.11239, appendix B: 35.7 million parameters, 114 million at 256×256; the average of
# the weights has a decay of 0.9999 a step; the limit of the gradient's norm, the details and the initial weights
# are those of their program. Sampled in 50 steps, as Song, Meng, Ermon 2021.
DDPM = Recipe(
    summary="DDPM, published settings",
    data=DataConfig("cifar-10", size=32, channels=3, flip=True),
    model=DiffusionConfig(
        steps=50,
        channels=(128, 256, 256, 256),
        attention=(16,),
        layers=2,
        head_channels=0,
        groups=32,
        dropout=0.1,
        details="ddpm",
        schedule="linear",
        prediction="epsilon",
    ),
    loss=DiffusionLoss(),
    optimizer=AdamConfig(learning_rate=2e-4, betas=(0.9, 0.999), warmup=5_000, clip_norm=1.0),
    treatment=TreatmentConfig(()),
    steps=800_000,
    batch_size=128,
    ema_pictures=128 * 6_931,
    log_every=500,
    sample_every=20_000,
    checkpoint_every=10_000,
)

RECIPES: dict[str, Recipe] = {
    "scenes-diffusion": replace(
        SMALL,
        summary="diffusion model steered in its h-space, nearest orthogonal gradient; 3-D scenes",
        data=DataConfig("scenes", size=32, pictures=20_000),
        treatment=TreatmentConfig(("nog",)),
    ),
    "fashion-diffusion": replace(
        SMALL,
        summary="diffusion model steered in its h-space; Fashion-MNIST",
        data=DataConfig("fashion-mnist", size=32),
    ),
    "cifar10-ddpm": DDPM,
    "ffhq-ddpm": replace(
        DDPM,
        summary="DDPM, settings published for CelebA-HQ",
        data=DataConfig("ffhq", size=256, channels=3, flip=True),
        model=replace(DDPM.model, channels=(128, 128, 256, 256, 512, 512), dropout=0.0),  # type: ignore[arg-type]
        optimizer=AdamConfig(learning_rate=2e-5, betas=(0.9, 0.999), warmup=5_000, clip_norm=1.0),
        steps=500_000,
        batch_size=64,
        ema_pictures=64 * 6_931,
    ),
}
