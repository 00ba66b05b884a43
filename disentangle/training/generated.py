"""Generated pictures and the codes that they were made from: what an encoder learns from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.pictures import from_uint8, to_uint8
from disentangle.training.draws import Order, seeded
from disentangle.training.files import write_atomic

CHUNK = 128
"""Pictures made at a time where many are made at once, and of a file of a pool."""

Progress = Callable[[int], None]


def code_latents(generator: Generator) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Which latents are codes, rising, and their names: those that a Pre-SVD layer sees; the others are noise.

    Raises:
        UserError: where no layer is named.
    """
    names: dict[int, str] = {}
    for projection in generator.projections():
        for place, latent in enumerate(range(generator.latent_size)[projection.latents]):
            names.setdefault(latent, f"{projection.name}, latent {place + 1}")
    if not names:
        raise UserError(f"{type(generator).__name__} names no layer that its latents enter: it has no codes to learn")
    latents = tuple(sorted(names))
    return latents, tuple(names[latent] for latent in latents)


def rounded(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] as a file of 8 bits would hold them, on the same device and still in [-1, 1].

    What lies below 8 bits is in no picture of a data set, and an encoder must not learn to read it.
    """
    return ((images.float() + 1) * 127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


@torch.no_grad()
def make_pictures(generator: Generator, n: int, key: Sequence[object], latents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Pictures ``(n, c, s, s)``, uint8, and their codes ``(n, d)``, both on the CPU.

    Args:
        generator: makes them.
        n: how many.
        key: decides which.
        latents: which of the latents are codes.

    Raises:
        UserError: where they are not finite.
    """
    drawn = generator.sample_latents(n, seeded(*key))
    made: list[Tensor] = []
    for part in drawn.split(CHUNK):
        images = generator.synthesize(part)
        if not bool(images.isfinite().all()):
            raise UserError("the generated pictures are not finite: the training has diverged; try --checkpoint")
        made.append(to_uint8(images))
    return torch.cat(made), drawn[:, list(latents)].float().cpu()


class Endless:
    """New pictures in every step.

    Args:
        generator: makes them.
        latents: which of its latents are codes.
        batch_size: pictures of a step.
        seed: decides which.
        narrow: type for ``torch.autocast``, if any.
    """

    def __init__(
        self,
        generator: Generator,
        latents: Sequence[int],
        batch_size: int,
        seed: int,
        narrow: torch.dtype | None = None,
    ) -> None:
        self.generator, self.latents = generator, list(latents)
        self.batch_size, self.seed, self.narrow = batch_size, seed, narrow

    @torch.no_grad()
    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, c, s, s)`` in [-1, 1] and codes ``(n, d)`` of ``step``, on the generator's device."""
        latents = self.generator.sample_latents(self.batch_size, seeded(self.seed, "encode", step))
        with torch.autocast(latents.device.type, self.narrow, enabled=self.narrow is not None):
            images = self.generator.synthesize(latents)
        return rounded(images), latents[:, self.latents].float()


class Pool:
    """A number of pictures made once, for a generator that is too slow for new ones in every step.

    Args:
        pictures: uint8 ``(n, c, s, s)``, as :func:`stored_pictures` has them.
        codes: ``(n, d)``.
        batch_size: pictures of a step.
        seed: decides in which order they are seen.
        device: of the batches.
    """

    def __init__(self, pictures: Tensor, codes: Tensor, batch_size: int, seed: int, device: torch.device) -> None:
        self.pictures, self.codes = pictures, codes
        self.batch_size, self.device = batch_size, device
        self.order = Order(len(pictures), seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, c, s, s)`` in [-1, 1] and codes ``(n, d)`` of ``step``, on the device."""
        chosen = self.order.batch(step, self.batch_size)
        return from_uint8(self.pictures[chosen].to(self.device)), self.codes[chosen].to(self.device)


def stored_pictures(
    generator: Generator,
    n: int,
    key: Sequence[object],
    latents: Sequence[int],
    folder: Path,
    weights: str,
    progress: Progress = lambda done: None,
) -> tuple[Tensor, Tensor]:
    """Pictures and codes as :func:`make_pictures` has them, kept in files of :data:`CHUNK` each, so that what is
    stopped need not make them again.

    Args:
        generator: makes them.
        n: how many.
        key: decides which.
        latents: which of the latents are codes.
        folder: where the files are; those of other weights, or of another key, are replaced.
        weights: hash of the generator's weights.
        progress: told how many there are, again and again.

    Raises:
        UserError: where they are not finite or cannot be written.
    """
    parts = []
    for start in range(0, n, CHUNK):
        count = min(CHUNK, n - start)
        content = {"weights": weights, "key": repr((*key, count))}
        path = folder / f"{start:08d}.safetensors"
        part = _read(path, content)
        if part is None:
            part = make_pictures(generator, count, (*key, start), latents)
            write_atomic(path, save({"pictures": part[0], "codes": part[1]}, metadata=content))
        parts.append(part)
        progress(start + count)
    pictures, codes = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return pictures, codes


def _read(path: Path, content: dict[str, str]) -> tuple[Tensor, Tensor] | None:
    """What a file holds; None where it is missing, damaged or holds something else."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.get_tensor("pictures"), file.get_tensor("codes")) if file.metadata() == content else None
    except (OSError, SafetensorError):
        return None
