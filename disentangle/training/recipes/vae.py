"""VAEs, and the autoencoders that came after them."""

from dataclasses import replace

from disentangle.training.architectures import AutoencoderKLConfig, QLAEConfig, TripodConfig, VAEConfig
from disentangle.training.objectives import (
    AnnealedVAELoss,
    BetaTCVAELoss,
    BetaVAELoss,
    DIPVAELoss,
    FactorVAELoss,
    QLAELoss,
    TripodLoss,
)
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig

# The small VAEs: β comes down, so that the factors that matter most get codes of their own before others are let in;
# the orthogonal loss keeps those codes' directions apart in the features.
SMALL_VAE = Recipe(
    model=VAEConfig(rank=4, base_channels=8),
    loss=BetaVAELoss(beta=0.5, beta_start=8.0, warmup=4_000),
    optimizer=AdamConfig(learning_rate=1e-3, betas=(0.9, 0.999), decay=0.25),
    treatment=TreatmentConfig(("ol", "nog")),
    steps=5_000,
)

# The other methods with the networks of Locatello et al., whose first dense layer no treatment touches unless one is
# named. Too short for the shapes of sprites; on scenes most methods find factors in this time.
SMALL_CONV = replace(
    SMALL_VAE,
    data=DataConfig("scenes", size=32, pictures=20_000),
    model=VAEConfig(decoder="conv"),
    treatment=TreatmentConfig(()),
    steps=2_000,
)

# As many codes as factors: what only asks that codes be independent, and not that they be few, gives a hue two of them,
# its sine and cosine, and the MIG of that is 0.
SIX = replace(SMALL_CONV.model, latent_size=6)  # type: ignore[arg-type]

# Locatello et al. 2019, arXiv 1811.12359: one network and one way to train for six methods. Each method's weight is one
# of the six that they train with.
PUBLISHED = Recipe(
    data=DataConfig("dsprites", size=64),
    model=VAEConfig(decoder="conv", unit_input=True),
    loss=BetaVAELoss(beta=4.0),
    optimizer=AdamConfig(learning_rate=1e-4, betas=(0.9, 0.999)),
    treatment=TreatmentConfig(()),
    steps=300_000,
    batch_size=64,
    ema_pictures=0,
    log_every=500,
    sample_every=10_000,
    checkpoint_every=5_000,
)

# QLAE and Tripod as published, Hsu et al. 2023, arXiv 2305.18378, and 2024, arXiv 2404.10282. No entry of a gradient
# exceeds 1; QLAE's program leaves those of biases and of the codes' values as they are.
QUANTIZED = replace(PUBLISHED, data=DataConfig("shapes3d", size=64))

RECIPES: dict[str, Recipe] = {
    "scenes-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; 3-D scenes (the demo)",
        data=DataConfig("scenes", size=32, pictures=20_000),
    ),
    # From a higher β on than for scenes: from 8, two seeds of three told the position less well apart (MIG 0.08, 0.18).
    "sprites-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; 2-D shapes",
        data=DataConfig("sprites", size=32, pictures=50_000),
        loss=BetaVAELoss(beta=0.5, beta_start=16.0, warmup=4_000),
    ),
    "digits-vae": replace(
        SMALL_VAE,
        summary="β-VAE with subspace layers; handwritten digits",
        data=DataConfig("digits", size=32),
    ),
    "scenes-annealed-vae": replace(
        SMALL_CONV,
        summary="annealed VAE; 3-D scenes",
        model=SIX,
        loss=AnnealedVAELoss(gamma=10.0, capacity=16.0, capacity_steps=2_500),
        steps=3_000,
    ),
    "scenes-factor-vae": replace(
        SMALL_CONV,
        summary="FactorVAE; 3-D scenes",
        model=SIX,
        loss=FactorVAELoss(
            gamma=30.0,
            discriminator_hidden=256,
            discriminator_layers=4,
            discriminator_optimizer=AdamConfig(learning_rate=5e-4, betas=(0.5, 0.9)),
        ),
    ),
    "scenes-beta-tcvae": replace(SMALL_CONV, summary="β-TCVAE; 3-D scenes", loss=BetaTCVAELoss()),
    "scenes-dip-vae-i": replace(SMALL_CONV, summary="DIP-VAE-I; 3-D scenes", model=SIX, loss=DIPVAELoss(variant="i")),
    # DIP-VAE-I asks for uncorrelated codes of unit variance: such are a hue's sine and cosine, and two directions of a
    # place, however turned. The parts of a face change the picture each by another amount.
    "faces-dip-vae-i": replace(
        SMALL_CONV,
        summary="DIP-VAE-I; cartoon faces (needs the extra faces)",
        data=DataConfig("faces", size=32, pictures=20_000),
        model=replace(SMALL_CONV.model, latent_size=10),  # type: ignore[arg-type]
        loss=DIPVAELoss(variant="i"),
    ),
    "scenes-dip-vae-ii": replace(
        SMALL_CONV, summary="DIP-VAE-II; 3-D scenes", model=SIX, loss=DIPVAELoss(variant="ii")
    ),
    "scenes-qlae": replace(
        SMALL_CONV,
        summary="QLAE with subspace layers; 3-D scenes",
        model=QLAEConfig(rank=4, base_channels=8),
        loss=QLAELoss(),
        optimizer=replace(SMALL_CONV.optimizer, weight_decay=0.1),
        treatment=TreatmentConfig(("ol", "nog")),
    ),
    "scenes-tripod": replace(
        SMALL_CONV,
        summary="Tripod with subspace layers; 3-D scenes",
        model=TripodConfig(rank=4, base_channels=8),
        loss=TripodLoss(hessian_every=4),
        treatment=TreatmentConfig(("ol", "nog")),
        steps=1_200,
    ),
    "scenes-autoencoder-kl": replace(
        SMALL_VAE,
        summary="diffusers' AutoencoderKL behind a subspace layer; 3-D scenes",
        data=DataConfig("scenes", size=32, pictures=20_000),
        model=AutoencoderKLConfig(block_out_channels=(8, 16, 32), norm_groups=4),
        loss=BetaVAELoss(beta=0.5, beta_start=8.0, warmup=1_200),
        steps=1_500,
        batch_size=32,
    ),
    "dsprites-beta-vae": replace(PUBLISHED, summary="β-VAE, settings of Locatello et al."),
    "dsprites-annealed-vae": replace(
        PUBLISHED, summary="annealed VAE, settings of Locatello et al.", loss=AnnealedVAELoss()
    ),
    # Kim and Mnih's weight for dSprites, 35, is not among those of Locatello et al. (10, 20, 30, 40, 50, 100). Their
    # program's 300,000 steps count the updates of the VAE and those of the discriminator: each has half of them.
    "dsprites-factor-vae": replace(
        PUBLISHED,
        summary="FactorVAE, settings of Locatello et al.",
        loss=FactorVAELoss(gamma=30.0),
        steps=150_000,
    ),
    "dsprites-beta-tcvae": replace(PUBLISHED, summary="β-TCVAE, settings of Locatello et al.", loss=BetaTCVAELoss()),
    "dsprites-dip-vae-i": replace(
        PUBLISHED, summary="DIP-VAE-I, settings of Locatello et al.", loss=DIPVAELoss(variant="i")
    ),
    "dsprites-dip-vae-ii": replace(
        PUBLISHED, summary="DIP-VAE-II, settings of Locatello et al.", loss=DIPVAELoss(variant="ii")
    ),
    "shapes3d-qlae": replace(
        QUANTIZED,
        summary="QLAE, published networks and settings",
        model=QLAEConfig(decoder="published", latent_size=12, unit_input=True),
        loss=QLAELoss(),
        optimizer=AdamConfig(learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=0.1, spares="biases", clip_value=1.0),
        steps=200_000,
        batch_size=128,
    ),
    "shapes3d-tripod": replace(
        QUANTIZED,
        summary="Tripod, published networks and settings",
        model=TripodConfig(decoder="published", latent_size=12),
        loss=TripodLoss(ratio="picture"),
        optimizer=AdamConfig(learning_rate=2e-4, betas=(0.9, 0.999), clip_value=1.0),
        steps=250_000,
    ),
    # What both papers call MPI3D is the set of everyday objects. QLAE's program comes with two sets of weights for it:
    # these are of the file that is like those of the paper's other data sets (configs/params/quantized_ae/mpi3d.yaml).
    "mpi3d-qlae": replace(
        QUANTIZED,
        summary="QLAE, published networks and settings",
        data=DataConfig("mpi3d-complex", size=64),
        model=QLAEConfig(decoder="published", latent_size=14, unit_input=True),
        loss=QLAELoss(),
        optimizer=AdamConfig(
            learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=1e-3, spares="biases", clip_value=1.0
        ),
        steps=200_000,
        batch_size=128,
    ),
    "mpi3d-tripod": replace(
        QUANTIZED,
        summary="Tripod, published networks and settings",
        data=DataConfig("mpi3d-complex", size=64),
        model=TripodConfig(decoder="published", latent_size=14),
        loss=TripodLoss(multi_information=1e-8, hessian=1e-4, ratio="picture"),
        optimizer=AdamConfig(learning_rate=2e-4, betas=(0.9, 0.999), clip_value=1.0),
        steps=250_000,
    ),
}
