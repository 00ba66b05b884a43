"""VAEs."""

from dataclasses import replace

from disentangle.training.architectures import VAEConfig
from disentangle.training.objectives import BetaVAELoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

VAE_ADAM = AdamConfig(learning_rate=1e-3, betas=(0.9, 0.999), decay=0.25)

# The small VAEs: β comes down, so that the factors that matter most get codes of their own before others are let in;
# the orthogonal loss keeps those codes' directions apart in the features.
SMALL_VAE = Recipe(
    model=VAEConfig(rank=4, base_channels=8),
    loss=BetaVAELoss(beta=0.5, beta_start=8.0, warmup=4_000),
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
}
