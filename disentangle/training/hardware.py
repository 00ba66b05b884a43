"""What the processor at hand does well."""

import torch


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
