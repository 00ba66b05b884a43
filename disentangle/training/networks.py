"""From a recipe to its networks, and from a checkpoint's folder back to them."""

import hashlib
import json
from pathlib import Path

from torch import nn

from disentangle.errors import UserError
from disentangle.models import BetaVAE, Discriminator, EigenGAN, LatentEncoder, ResNet
from disentangle.training.recipe import BetaVAEConfig, EigenGANConfig, Recipe

NETWORKS = {
    "EigenGAN": EigenGAN,
    "Discriminator": Discriminator,
    "BetaVAE": BetaVAE,
    "ResNet": ResNet,
    "LatentEncoder": LatentEncoder,
}
"""Classes that a checkpoint may hold, by the name that diffusers writes into their ``config.json``."""

STEM = "conv1.weight"
"""The weight of a residual network's first convolution, its only one that can be skew-orthogonal."""


def build_networks(recipe: Recipe, channels: int, classes: int = 0) -> dict[str, nn.Module]:
    """The networks that a recipe trains, by name. The first is the run's product, of which an average is kept.

    Args:
        recipe: the recipe.
        channels: of the pictures.
        classes: that a classifier tells apart.

    Raises:
        UserError: where a size or a number does not fit the model.
    """
    model = recipe.model
    if isinstance(model, BetaVAEConfig):
        vae = BetaVAE(
            size=recipe.data.size,
            channels=channels,
            rank=model.rank,
            base_channels=model.base_channels,
            max_channels=model.max_channels,
            encoder_channels=model.encoder_channels,
            hidden=model.hidden,
            seed=recipe.seed,
        )
        return {"generator": vae}
    if isinstance(model, EigenGANConfig):
        shared = {
            "size": recipe.data.size,
            "channels": channels,
            "base_channels": model.base_channels,
            "max_channels": model.max_channels,
            "seed": recipe.seed,
        }
        generator = EigenGAN(rank=model.rank, noise=model.noise, **shared)
        return {"generator": generator, "discriminator": Discriminator(**shared)}
    stem = (STEM,) if model.norm == "decorrelated" else ()
    classifier = ResNet(
        depth=model.depth,
        num_classes=classes,
        in_channels=channels,
        norm=model.norm,
        pool=model.pool,
        stem=model.stem,
        groups=model.groups,
        eps=model.eps,
        pool_channels=model.pool_channels,
        # Kept in the network's own configuration: its weights have another shape.
        skew_orthogonal="ow" in recipe.treatment.names and STEM in (recipe.treatment.parameters or stem),
        method=model.method,
        seed=recipe.seed,
    )
    return {"classifier": classifier}


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
