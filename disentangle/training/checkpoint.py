"""Checkpoints: networks by diffusers, the trainer's state in safetensors and JSON, whole or not at all."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.training.files import clean_up, folder_atomic, remove_folder
from disentangle.training.run import Run
from disentangle.treatments import fold

RAW = "raw:"
"""Before the names of a network's own tensors, where its folder holds other ones: a network whose weights a treatment
computes from others is kept as it is for the training, and plain, without the treatment, for those who use it."""

KEEP = 2
"""Checkpoints kept: the newest, and one before it in case the newest is damaged by something else."""


def follow_memory_format(optimizer: torch.optim.Optimizer) -> None:
    """Lay the moments out in memory as their parameters are, which files do not keep and fused updates rely on."""
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def save(
    run: Run,
    step: int,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the checkpoint of ``step`` and remove those too old to keep.

    Args:
        run: whose checkpoint.
        step: the step just done.
        networks: by the names of their folders.
        optimizers: by name.
        files: text files that belong to it, by name.

    Raises:
        UserError: where it cannot be written; the earlier checkpoints stay.
    """
    target = run.checkpoint_path(step)
    if target.exists():
        return
    tensors: dict[str, Tensor] = {}
    state: dict[str, Any] = {"step": step, "param_groups": {}}
    for name, optimizer in optimizers.items():
        saved = optimizer.state_dict()
        state["param_groups"][name] = saved["param_groups"]
        for index, values in saved["state"].items():
            for key, value in values.items():
                if value is not None:  # as the velocity is without momentum
                    tensors[f"{name}.{index}.{key}"] = value.detach().cpu().contiguous()
    folded = {name: fold(network) for name, network in networks.items()}
    for name, network in networks.items():
        if folded[name] is not network:
            tensors |= {f"{RAW}{name}.{key}": value.cpu().contiguous() for key, value in network.state_dict().items()}
    with folder_atomic(target) as folder:
        try:
            for name, network in folded.items():
                network.save_pretrained(folder / name, safe_serialization=True)  # type: ignore[operator]
            save_file(tensors, folder / "trainer.safetensors")
            for name, text in files.items():
                (folder / name).write_text(text)
        except SafetensorError as error:  # what safetensors makes of "no space left on device"
            raise OSError(str(error)) from error
        (folder / "trainer.json").write_text(json.dumps(state))
    for old in run.checkpoints()[:-KEEP]:
        remove_folder(run.checkpoint_path(old))


def restore(run: Run, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]) -> int:
    """Put the newest checkpoint into the given networks and optimisers, in place.

    Returns:
        The step after which it was written; 0, and nothing changed, where there is none.

    Raises:
        UserError: where it is damaged or of another shape.
    """
    clean_up(run.path / "checkpoints")
    if not run.checkpoints():
        return 0
    folder = run.checkpoint_path(run.step)
    try:
        tensors = load_file(folder / "trainer.safetensors")
        for name, network in networks.items():
            raw = f"{RAW}{name}."
            weights = {key.removeprefix(raw): value for key, value in tensors.items() if key.startswith(raw)}
            for file in sorted((folder / name).glob("*.safetensors")) if not weights else ():
                weights |= load_file(file)
            network.load_state_dict(weights)
        tensors = {key: value for key, value in tensors.items() if not key.startswith(RAW)}
        state = json.loads((folder / "trainer.json").read_text())
        for name, optimizer in optimizers.items() if state["param_groups"] else ():  # none: weights from elsewhere
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                owner, index, entry = key.split(".", 2)
                if owner == name:
                    values.setdefault(int(index), {})[entry] = tensor
            optimizer.load_state_dict({"state": values, "param_groups": state["param_groups"][name]})
            follow_memory_format(optimizer)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder} is incomplete, damaged or of another kind: {reason}; "
            "remove it to go on from an earlier checkpoint"
        ) from None
    return int(state["step"])
