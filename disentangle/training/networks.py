"""From a recipe to its networks, and from a checkpoint's folder back to them."""

import hashlib
import json
from pathlib import Path

from torch import nn

from disentangle.errors import UserError
from disentangle.models import (
    DIPVAE,
    QLAE,
    AnnealedVAE,
    AutoencoderKLSubspace,
    BetaTCVAE,
    BetaVAE,
    Discriminator,
    EigenGAN,
    FactorReader,
    FactorVAE,
    HSpaceDiffusion,
    LatentDiscriminator,
    LatentEncoder,
    Recogniser,
    ResNet,
    Tripod,
    VanillaDiscriminator,
    VanillaGAN,
)
from disentangle.training.recipe import Recipe

NETWORKS = {
    network.__name__: network
    for network in (
        AnnealedVAE,
        AutoencoderKLSubspace,
        BetaTCVAE,
        BetaVAE,
        DIPVAE,
        Discriminator,
        EigenGAN,
        FactorReader,
        FactorVAE,
        HSpaceDiffusion,
        LatentDiscriminator,
        LatentEncoder,
        QLAE,
        Recogniser,
        ResNet,
        Tripod,
        VanillaDiscriminator,
        VanillaGAN,
    )
}
"""Classes that a checkpoint may hold, by the name that diffusers writes into their ``config.json``."""


def build_networks(recipe: Recipe, channels: int, classes: int = 0) -> dict[str, nn.Module]:
    """The networks that a recipe trains, by name. The first is the run's product, of which an average is kept.

    Args:
        recipe: the recipe.
        channels: of the pictures.
        classes: that a classifier tells apart.

    Raises:
        UserError: where a size or a number does not fit the model.
    """
    networks = recipe.model.build(recipe, channels, classes)
    return networks | recipe.loss.networks(next(iter(networks.values())), recipe, channels)


def load_network(path: Path) -> nn.Module:
    """Load a network that :func:`disentangle.training.checkpoint.save` wrote, from safetensors only.

    Raises:
        UserError: where the folder is incomplete, damaged or of another kind.
    """
    try:
        name = json.loads((path / "config.json").read_text())["_class_name"]
        network, found = NETWORKS[name].from_pretrained(
            path, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except KeyError as error:
        raise UserError(f"{path} holds no network of this library: {error} in its config.json") from None
    except Exception as error:  # diffusers and safetensors raise many types, OSError and bare Exception among them
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is incomplete or damaged: {reason}; copy it again or train again") from None
    wrong = [*found["missing_keys"], *found["unexpected_keys"]]
    if wrong:
        raise UserError(f"{path} is damaged or of another kind: its weights and its config.json differ in {wrong[0]}")
    return network  # type: ignore[no-any-return]


def hash_network(path: Path) -> str:
    """SHA-256 over the weight files of a network's folder.

    Raises:
        UserError: where there is none.
    """
    digest = hashlib.sha256()
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise UserError(f"{path} is incomplete: it has no weights (*.safetensors)")
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
