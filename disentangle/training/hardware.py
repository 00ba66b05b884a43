"""Which processor computes, what it does well, and the processes that share the work."""

import torch
from accelerate import Accelerator


def choose_device(wanted: str = "auto") -> torch.device:
    """The device for ``"auto"``, a CUDA (or ROCm) GPU where there is one and else the CPU, or for ``"cpu"``.

    Apple's and other accelerators without float64, in which treatments and scores are computed, are passed over.
    """
    return torch.device("cuda" if wanted == "auto" and torch.cuda.is_available() else "cpu")


def make_accelerator(wanted: str = "auto") -> Accelerator:
    """Processes and device for a training; precision is the recipe's business, whatever the launcher's settings say."""
    return Accelerator(cpu=choose_device(wanted).type == "cpu", mixed_precision="no")


def finish(accelerator: Accelerator) -> None:
    """Let the processes of a training end together."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        accelerator.end_training()


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run in hardware there, and not in emulation, slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return False


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Type for ``torch.autocast``, or None for none, of a recipe's ``precision``."""
    if precision == "bfloat16" or (precision == "auto" and has_bfloat16_units(device)):
        return torch.bfloat16
    return None
