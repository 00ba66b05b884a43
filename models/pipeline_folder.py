"""The folder of a published diffusion pipeline, as diffusers' ``DDPMPipeline`` and ``DDIMPipeline`` write it."""

import json
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel

from disentangle.errors import UserError
from disentangle.models.denoiser import check_network
from disentangle.models.pretrained import load_pretrained

LAYOUT = "a pipeline's folder has model_index.json, unet/ and scheduler/"


def read_pipeline(folder: Path | str) -> tuple[UNet2DModel, dict[str, Any]]:
    """A published pipeline's network, from safetensors only, and the settings of its scheduler. Nothing is fetched.

    Args:
        folder: with ``model_index.json``, ``unet/`` and ``scheduler/``.

    Raises:
        UserError: where the folder is missing, incomplete or damaged, holds another kind of network or scheduler, or
            has its weights in pickles only.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: {LAYOUT}")
    parts = _json(folder / "model_index.json")
    found = _named(parts, "unet"), _named(parts, "scheduler")
    if found[0] != "UNet2DModel" or found[1] is None:
        raise UserError(
            f"{folder} is a {parts.get('_class_name', 'pipeline of another kind')} with the network {found[0]}: "
            "possible are pipelines of an unconditional UNet2DModel and a scheduler: DDPMPipeline and DDIMPipeline"
        )
    scheduler = _json(folder / "scheduler" / "scheduler_config.json")
    if "num_train_timesteps" not in scheduler or "beta_schedule" not in scheduler:
        raise UserError(
            f"{folder} samples with {found[1]}, which has no schedule of betas: possible: DDPMScheduler, DDIMScheduler "
            "and those that are made of the same settings"
        )
    check_network(_json(folder / "unet" / "config.json"))
    return load_pretrained(UNet2DModel, folder / "unet"), scheduler


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} is incomplete: it has no {path.name}; {LAYOUT}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; copy it again") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is damaged: it holds no settings; copy it again")
    return found


def _named(parts: dict[str, Any], name: str) -> str | None:
    """The class of a pipeline's part: its entry is a pair of a library and a class."""
    entry = parts.get(name)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str) else None
