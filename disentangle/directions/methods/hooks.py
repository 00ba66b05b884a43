"""What a module of a generator puts out while pictures are made."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.generator import Generator


class _Reached(Exception):
    """No error: the rest of the network is not needed."""


@dataclass(frozen=True)
class Call:
    """How a module was called while one batch of pictures was made.

    Attributes:
        name: dotted name of the module.
        times: how often.
        output: shape of what it put out last; ``None`` where that is no tensor.
    """

    name: str
    times: int
    output: torch.Size | None


@torch.no_grad()
def calls(generator: nn.Module, latents: Tensor) -> dict[str, Call]:
    """The modules that make pictures of latents ``(n, d)``, by name, in the order of their last calls."""
    seen: dict[str, Call] = {}
    thread = threading.get_ident()

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() != thread:  # somebody else's pictures
                return
            before = seen.pop(name, None)
            shape = output.shape if isinstance(output, Tensor) else None
            seen[name] = Call(name, 1 if before is None else before.times + 1, shape)

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in generator.named_modules() if name]
    try:
        generator.synthesize(latents)  # type: ignore[operator]
    finally:
        for handle in handles:
            handle.remove()
    return seen


def possible(called: dict[str, Call], n: int) -> list[str]:
    """Names of the modules that put out a tensor with a row for each of ``n`` latents."""
    return [name for name, call in called.items() if call.output is not None and call.output[:1] == (n,)]


def choose(generator: Generator, module: str, called: dict[str, Call], n: int) -> Call:
    """The call of a module by name.

    Raises:
        UserError: where there is no such module, it is not called, or does not put out one tensor of ``n`` rows.
    """
    names = possible(called, n)
    if module in names:
        return called[module]
    if module in called:
        raise UserError(
            f"the module {module} puts out {_what(called[module])}, not a tensor with a row a picture: possible: "
            f"{', '.join(names)}"
        )
    if module and isinstance(generator, nn.Module) and module in dict(generator.named_modules()):
        raise UserError(
            f"the module {module} is not called by itself when pictures are made: possible: {', '.join(names)}"
        )
    raise unknown_name("module", module, names)


@torch.no_grad()
def outputs(generator: nn.Module, call: Call, latents: Tensor) -> Tensor:
    """What a module puts out last for latents ``(n, d)``: ``(n, features)``. What follows it is not computed."""
    kept: list[Tensor] = []
    times = 0
    thread = threading.get_ident()

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal times
        if threading.get_ident() != thread:  # somebody else's pictures, which must be finished
            return
        times += 1
        if times == call.times:
            kept.append(output.detach().flatten(1).clone())  # what follows may work in place
            raise _Reached

    handle = generator.get_submodule(call.name).register_forward_hook(hook)
    try:
        generator.synthesize(latents)  # type: ignore[operator]
    except _Reached:
        pass
    finally:
        handle.remove()
    return kept[0]


def _what(call: Call) -> str:
    return "several things or none" if call.output is None else f"a tensor of shape {tuple(call.output)}"
