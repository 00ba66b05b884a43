"""Randomness as a function of seed, step and name: nothing to save or restore, and the same however it is split."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


def seeded(*key: object) -> torch.Generator:
    """A CPU generator whose seed is a hash of ``key``."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Draws:
    """All random numbers of one training step.

    Every draw is made for the whole batch on the CPU and cut to this process's share, so that any number of processes,
    on any device, see the same numbers as one. Two draws of one step need different names.

    Attributes:
        seed: the run's seed.
        step: the step, counted from 1.
        batch: size of the whole batch.
        rank: number of this process …
        world: … of so many. Process ``rank`` has pictures ``rank * batch / world …`` of the batch.
        device: where the numbers go.
        dtype: their type.
    """

    seed: int
    step: int
    batch: int
    rank: int = 0
    world: int = 1
    device: torch.device | None = None
    dtype: torch.dtype = torch.float32

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal numbers ``(batch / world, *shape)``."""
        return self._local(torch.randn(self.batch, *shape, generator=seeded(self.seed, self.step, name)))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), ``(batch / world, *shape)``."""
        return self._local(torch.rand(self.batch, *shape, generator=seeded(self.seed, self.step, name)))

    def share(self, whole: Tensor) -> Tensor:
        """This process's share of what belongs to the whole batch, ``(batch, …)``."""
        share = self.batch // self.world
        return whole[self.rank * share : (self.rank + 1) * share]

    def _local(self, numbers: Tensor) -> Tensor:
        return self.share(numbers).to(self.device, self.dtype)


class Order:
    """The order in which a training set of ``n`` pictures is seen: a new permutation each epoch, given by the seed."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int, size: int) -> Tensor:
        """Positions ``(size,)`` of the pictures of ``step`` (from 1); a batch may end one epoch and begin the next."""
        first = (step - 1) * size
        parts = []
        while size > 0:
            epoch, offset = divmod(first, self.n)
            if epoch != self._epoch:
                self._permutation = torch.randperm(self.n, generator=seeded(self.seed, "epoch", epoch))
                self._epoch = epoch
            part = self._permutation[offset : offset + size]
            parts.append(part)
            first += len(part)
            size -= len(part)
        return torch.cat(parts)
