"""The recipes, by name. To add one, add an entry."""

from dataclasses import replace

from disentangle.training.recipe import AdamConfig, BetaVAEConfig, DataConfig, EigenGANConfig, GANLoss, Recipe, VAELoss
from disentangle.treatments import TreatmentConfig

VAE_ADAM = AdamConfig(learning_rate=1e-3, betas=(0.9, 0.999), decay=0.25)

# The small VAEs: β comes down, so that the factors that matter most get codes of their own before others are let in;
# the orthogonal loss keeps those codes' directions apart in the features.
SMALL_VAE = Recipe(
    model=BetaVAEConfig(rank=4, base_channels=8),
    loss=VAELoss(beta=0.5, beta_start=8.0, warmup=4_000),
    optimizer=VAE_ADAM,
    treatment=TreatmentConfig(("ol", "nog")),
    steps=5_000,
)

RECIPES: dict[str, Recipe] = {
    "scenes-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; 3-D scenes, minutes on a CPU (the demo)",
        data=DataConfig("scenes", size=32, pictures=20_000),
    ),
    "sprites-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; 2-D shapes, minutes on a CPU",
        data=DataConfig("sprites", size=32, pictures=50_000),
    ),
    "digits-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; handwritten digits, minutes on a CPU",
        data=DataConfig("digits", size=32),
    ),
    "sprites-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; 2-D shapes",
        data=DataConfig("sprites", size=64),
        treatment=TreatmentConfig(("nog",)),
        steps=50_000,
    ),
    "fashion-eigengan-nog": Recipe(
        summary="EigenGAN, nearest orthogonal gradient; Fashion-MNIST, a CPU in under an hour",
        data=DataConfig("fashion-mnist", size=32),
        model=EigenGANConfig(rank=6, noise=64, base_channels=16, max_channels=64),
        loss=GANLoss(augment=0.0),
        optimizer=AdamConfig(learning_rate=2e-4),
        treatment=TreatmentConfig(("nog",)),
        steps=10_000,
        batch_size=32,
    ),
    "anime-eigengan": Recipe(
        summary="EigenGAN, published settings, 128×128 (AnimeFace: --data.root FOLDER), orthogonal loss",
        data=DataConfig("folder", size=128, channels=3, flip=True),
        loss=GANLoss(adversarial="eigengan-hinge"),
        treatment=TreatmentConfig(("ol",)),
    ),
    "ffhq-eigengan": Recipe(
        summary="EigenGAN, published settings, 256×256 (FFHQ: --data.root FOLDER), orthogonal loss",
        data=DataConfig("folder", size=256, channels=3, flip=True),
        loss=GANLoss(adversarial="eigengan-hinge"),
        treatment=TreatmentConfig(("ol",)),
    ),
}
