"""What the published recipes say, line by line, and who published it."""

from dataclasses import dataclass
from typing import Any

import pytest

from disentangle.training.recipe import Recipe
from disentangle.training.recipes import RECIPES


@dataclass(frozen=True)
class Published:
    """Settings of a recipe, by their dotted names, and their source in words."""

    source: str
    settings: dict[str, Any]


def table(source: str, *settings: dict[str, Any]) -> Published:
    return Published(source, {name: value for some in settings for name, value in some.items()})


# Song's EigenGAN (OrthoImproveCond, EigenGAN/train_animeface.py and train_ffhq.py, which are alike).
EIGENGAN = {
    "model.kind": "eigengan",
    "model.rank": 6,
    "model.noise": 512,
    "model.base_channels": 16,
    "model.max_channels": 512,
    "loss.adversarial": "eigengan-hinge",
    "loss.r1_weight": 10.0,
    "loss.r1_every": 16,
    "loss.gp_weight": 0.0,
    "loss.augment": 0.6,
    "loss.penalty": "none",
    "treatment.ol_weight": 100.0,
    "optimizer.learning_rate": 1e-4,
    "optimizer.betas": (0.5, 0.99),
    "optimizer.decay": 0.0,
    "optimizer.weight_decay": 0.0,
    "data.channels": 3,
    "data.flip": True,
    "data.frame": "middle",
    "batch_size": 64,
    "steps": 500_000,
    "ema_pictures": 10_000,
}
ANIME = {"data.name": "anime-face", "data.size": 128}
FFHQ = {"data.name": "ffhq", "data.size": 256}
OL = {"treatment.names": ("ol",)}
NOG = {"treatment.names": ("nog",)}
UNTREATED = {"treatment.names": ()}

# OroJaR's program (simplegan_experiments/options/train_options.py, models/gan_model.py) with Song's cross-entropy: the
# program halves the discriminator's loss and not its gradient penalty of 10. No average of the weights.
VANILLA = {
    "model.kind": "vanilla-gan",
    "model.base_channels": 64,
    "model.max_channels": 1024,
    "loss.adversarial": "non-saturating",
    "loss.r1_weight": 0.0,
    "loss.r2_weight": 0.0,
    "loss.gp_weight": 20.0,
    "loss.gp_every": 1,
    "loss.augment": 0.0,
    "loss.penalty_start": 0,
    "loss.penalty_warmup": 0,
    "loss.penalty_every": 1,
    "loss.penalty_samples": 2,
    "loss.penalty_epsilon": 0.1,
    "loss.penalty_reduction": "max",
    "optimizer.learning_rate": 2e-4,
    "optimizer.betas": (0.5, 0.999),
    "optimizer.decay": 0.5,
    "optimizer.weight_decay": 0.0,
    "data.flip": False,
    "batch_size": 128,
    "steps": 300_000,  # not published: the programs are set to 1,200 epochs
    "ema_pictures": 0,
}
DSPRITES_GAN = VANILLA | {"data.name": "dsprites", "data.size": 64, "model.latent_size": 6, "loss.penalty_layers": 4}
GAN_128 = VANILLA | {"data.size": 128, "data.channels": 3, "model.latent_size": 30, "loss.penalty_layers": 5}
CELEBA = {"data.name": "celeba", "data.frame": "wide"}
PLAIN = {"loss.penalty": "none"}

# Locatello et al. (disentanglement_lib, config/unsupervised_study_v1: model_configs/shared.gin and sweep.py).
LOCATELLO = {
    "data.name": "dsprites",
    "data.size": 64,
    "model.kind": "vae",
    "model.decoder": "conv",
    "model.latent_size": None,  # 10
    "model.encoder_channels": 32,
    "model.hidden": 256,
    "loss.likelihood": "bernoulli",
    "optimizer.learning_rate": 1e-4,
    "optimizer.betas": (0.9, 0.999),
    "optimizer.decay": 0.0,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_value": 0.0,
    "treatment.names": (),
    "batch_size": 64,
    "steps": 300_000,
    "ema_pictures": 0,
}

# Their programs: kylehkhsu/latent_quantization (configs/train_ae.yaml, configs/params/quantized_ae), kylehkhsu/tripod
# (configs/train_autoencoder.yaml); optax's AdamW has the usual betas.
QUANTIZED = {
    "data.size": 64,
    "model.decoder": "published",
    "model.values": None,  # 10 of QLAE, 12 of Tripod
    "loss.likelihood": "bernoulli",
    "optimizer.betas": (0.9, 0.999),
    "optimizer.decay": 0.0,
    "optimizer.clip_value": 1.0,
    "optimizer.clip_norm": 0.0,
    "treatment.names": (),
    "ema_pictures": 0,
}
QLAE = QUANTIZED | {
    "model.kind": "qlae",
    "loss.quantization": 0.01,
    "loss.commitment": 0.01,
    "optimizer.learning_rate": 1e-3,
    "batch_size": 128,
    "steps": 200_000,
}
TRIPOD = QUANTIZED | {
    "model.kind": "tripod",
    "loss.hessian_every": 1,
    "loss.samples": 2,
    "loss.epsilon": 0.1,
    "loss.ratio": "picture",
    "loss.marginals": "published",
    "optimizer.learning_rate": 2e-4,
    "optimizer.weight_decay": 0.0,
    "batch_size": 64,
    "steps": 250_000,
}
SHAPES3D = {"data.name": "shapes3d", "model.latent_size": 12}
MPI3D = {"data.name": "mpi3d-complex", "model.latent_size": 14}

# Ho et al., appendix B, and their program (scripts/run_cifar.py, run_celebahq.py).
DDPM = {
    "model.kind": "diffusion",
    "model.layers": 2,
    "model.attention": (16,),
    "model.head_channels": 0,
    "model.groups": 32,
    "model.schedule": "linear",
    "model.prediction": "epsilon",
    "optimizer.betas": (0.9, 0.999),
    "optimizer.warmup": 5_000,
    "optimizer.clip_norm": 1.0,
    "optimizer.clip_value": 0.0,
    "optimizer.decay": 0.0,
    "optimizer.weight_decay": 0.0,
    "treatment.names": (),
    "data.channels": 3,
    "data.flip": True,
}

# Song's Decorrelated BN/main_cifar10.py; a ResNet whose first norm is the decorrelated one.
DBN = {
    "data.size": 32,
    "data.flip": True,
    "data.crop": "shift",
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 5e-4,
    "optimizer.milestones": (100 / 350, 200 / 350, 300 / 350),
    "optimizer.gamma": 0.1,
    "batch_size": 128,
    "steps": 350 * 50_000 // 128,
    "ema_pictures": 0,
}

TABLE = {
    "anime-eigengan": table("EigenGAN, with its own orthogonal loss", EIGENGAN, ANIME, OL),
    "ffhq-eigengan": table("EigenGAN, with its own orthogonal loss", EIGENGAN, FFHQ, OL),
    "anime-eigengan-nog": table("Song's run_animeface.sh", EIGENGAN, ANIME, NOG),
    "ffhq-eigengan-nog": table("Song's run_ffhq.sh", EIGENGAN, FFHQ, NOG),
    "dsprites-vanilla-gan": table("OroJaR's dsprites_train_gan.sh", DSPRITES_GAN, UNTREATED, PLAIN),
    "dsprites-vanilla-gan-hessian": table(
        "OroJaR's dsprites_train_hp.sh", DSPRITES_GAN, UNTREATED, {"loss.penalty": "hessian", "penalty at 1": 1e-3}
    ),
    "dsprites-vanilla-gan-orojar": table(
        "OroJaR's dsprites_train_orojar.sh", DSPRITES_GAN, UNTREATED, {"loss.penalty": "orojar", "penalty at 1": 1e-11}
    ),
    "dsprites-vanilla-gan-vp": table(
        "OroJaR's dsprites_train_vp.sh and base_networks.Classifier",
        DSPRITES_GAN,
        UNTREATED,
        {
            "loss.penalty": "vp",
            "penalty at 1": 0.1,
            "loss.recogniser_loss": "binary",
            "loss.recogniser_channels": 4,
            "loss.recogniser_hidden": 16,
        },
    ),
    "dsprites-vanilla-gan-nog": table("Song's gan_model.py, reg_type nog", DSPRITES_GAN, NOG, PLAIN),
    "celeba-vanilla-gan-nog": table(
        "Song's celeba_train_nog.sh, OroJaR's celeba_dataset.py", GAN_128, CELEBA, NOG, PLAIN
    ),
    "celeba-vanilla-gan-orojar": table(
        "Song's and OroJaR's celeba_train_orojar.sh",
        GAN_128,
        CELEBA,
        UNTREATED,
        {"loss.penalty": "orojar", "penalty at 1": 1e-6},
    ),
    "church-vanilla-gan-nog": table(
        "Song's lsun_train_nog.sh and lsun_dataset.py",
        GAN_128,
        {"data.name": "lsun-church", "data.frame": "whole"},
        NOG,
        PLAIN,
    ),
    "anime-vanilla-gan-nog": table(
        "no script: the settings of CelebA", GAN_128, {"data.name": "anime-face", "data.frame": "middle"}, NOG, PLAIN
    ),
    "dsprites-beta-vae": table("sweep.py: β among 1, 2, 4, 6, 8, 16", LOCATELLO, {"loss.beta": 4.0}),
    "dsprites-annealed-vae": table(
        "sweep.py: capacity among 5, 10, 25, 50, 75, 100",
        LOCATELLO,
        {"loss.gamma": 1_000.0, "loss.capacity": 25.0, "loss.capacity_steps": 100_000},
    ),
    "dsprites-factor-vae": table(
        "sweep.py: γ among 10, 20, 30, 40, 50, 100; fc_discriminator; a step counts for both optimisers",
        LOCATELLO,
        {
            "loss.gamma": 30.0,
            "loss.discriminator_hidden": 1_000,
            "loss.discriminator_layers": 6,
            "loss.discriminator_optimizer.learning_rate": 1e-4,
            "loss.discriminator_optimizer.betas": (0.5, 0.9),
            "steps": 150_000,
        },
    ),
    "dsprites-beta-tcvae": table(
        "sweep.py: β among 1, 2, 4, 6, 8, 10", LOCATELLO, {"loss.alpha": 1.0, "loss.beta": 6.0, "loss.gamma": 1.0}
    ),
    "dsprites-dip-vae-i": table(
        "sweep.py: λ_od among 1, 2, 5, 10, 20, 50, λ_d 10 times that",
        LOCATELLO,
        {"loss.variant": "i", "loss.lambda_od": 10.0, "loss.lambda_d": None},
    ),
    "dsprites-dip-vae-ii": table(
        "sweep.py: λ_od among 1, 2, 5, 10, 20, 50, λ_d the same",
        LOCATELLO,
        {"loss.variant": "ii", "loss.lambda_od": 10.0, "loss.lambda_d": None},
    ),
    "shapes3d-qlae": table("params/quantized_ae/shapes3d.yaml", QLAE, SHAPES3D, {"optimizer.weight_decay": 0.1}),
    "mpi3d-qlae": table("params/quantized_ae/mpi3d.yaml", QLAE, MPI3D, {"optimizer.weight_decay": 1e-3}),
    "shapes3d-tripod": table(
        "train_autoencoder.yaml", TRIPOD, SHAPES3D, {"loss.multi_information": 1e-4, "loss.hessian": 1e-2}
    ),
    "mpi3d-tripod": table(
        "train_autoencoder.yaml, the lines for other sets",
        TRIPOD,
        MPI3D,
        {"loss.multi_information": 1e-8, "loss.hessian": 1e-4},
    ),
    "cifar10-ddpm": table(
        "Ho et al., CIFAR-10",
        DDPM,
        {
            "data.name": "cifar-10",
            "data.size": 32,
            "model.channels": (128, 256, 256, 256),
            "model.dropout": 0.1,
            "optimizer.learning_rate": 2e-4,
            "batch_size": 128,
            "steps": 800_000,
            "decay of the average": 0.9999,
        },
    ),
    "ffhq-ddpm": table(
        "Ho et al., CelebA-HQ",
        DDPM,
        {
            "data.name": "ffhq",
            "data.size": 256,
            "model.channels": (128, 128, 256, 256, 512, 512),
            "model.dropout": 0.0,
            "optimizer.learning_rate": 2e-5,
            "batch_size": 64,
            "steps": 500_000,
            "decay of the average": 0.9999,
        },
    ),
    "cifar10-resnet18": table("Song's main_cifar10.py", DBN, UNTREATED, {"data.name": "cifar-10", "model.depth": "18"}),
    "cifar100-resnet50": table(
        "Song's main_cifar100.py", DBN, UNTREATED, {"data.name": "cifar-100", "model.depth": "50"}
    ),
}
NOT_COMPARED = {"imagenet-resnet50"}
"""Its settings are those of papers on covariance pooling; no program has been read beside it."""
SMALL = ("scenes-", "sprites-", "faces-", "digits-", "fashion-")
"""With these begin the names of the recipes that are this project's own."""


def setting(recipe: Recipe, name: str) -> Any:
    if name == "penalty at 1":
        return recipe.loss.penalty_weight_at(1)  # type: ignore[union-attr]
    if name == "decay of the average":
        return pytest.approx(0.5 ** (recipe.batch_size / recipe.ema_pictures), abs=1e-8)
    found: Any = recipe
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_recipe_has_its_published_settings(name: str) -> None:
    line = TABLE[name]
    found = {key: setting(RECIPES[name], key) for key in line.settings}
    assert found == line.settings, line.source


def test_every_published_recipe_has_its_line() -> None:
    assert {name for name in RECIPES if not name.startswith(SMALL)} == TABLE.keys() | NOT_COMPARED
