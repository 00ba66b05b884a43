"""Published networks of diffusers', from local folders."""

from pathlib import Path
from typing import TypeVar

import torch
from diffusers.models.modeling_utils import ModelMixin

from disentangle.errors import UserError

Network = TypeVar("Network", bound=ModelMixin)


def load_pretrained(kind: type[Network], folder: Path) -> Network:
    """A published network, in float32, from safetensors only and never from the network.

    Args:
        kind: its class.
        folder: with ``config.json`` and the weights, as ``save_pretrained`` writes them; of weights in half precision
            (``*.fp16.safetensors``), too.

    Raises:
        UserError: where it is incomplete, damaged or of another kind, or its weights are in a pickle.
    """
    files = {file.name for file in folder.glob("*.safetensors")}
    if not files:
        pickles = sorted(file.name for ending in ("bin", "pt", "ckpt") for file in folder.glob(f"*.{ending}"))
        if pickles:
            raise UserError(
                f"{folder} has its weights in a pickle only ({pickles[0]}), which may run code when it is read: get "
                "its *.safetensors, or convert it where you trust it"
            )
        raise UserError(f"{folder} is incomplete: it has no weights (*.safetensors); copy it again")
    half = all(".fp16." in name for name in files)
    try:
        network, found = kind.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            torch_dtype=torch.float32,
            variant="fp16" if half else None,
        )
    except Exception as error:  # diffusers and safetensors raise many types, OSError and bare Exception among them
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} is incomplete, damaged or no {kind.__name__}: {reason}; copy it again") from None
    wrong = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"{folder} is damaged or no {kind.__name__}: its weights and its config.json differ in {wrong[0]}; "
            "copy it again"
        )
    return network  # type: ignore[no-any-return]
