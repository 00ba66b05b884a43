"""The processes that share an evaluation: one, or those that torchrun started."""

import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, gather_object
from torch import Tensor

from disentangle.apps.progress import progress

T = TypeVar("T")

PATIENCE = datetime.timedelta(days=7)

BATCH = 250
"""Rows that go through a network at a time. The results do not depend on the number of processes, to the bit, since
the batches do not."""


class Team:
    """Processes that do a share each and know all of the result.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.
    """

    def __init__(self) -> None:
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        # One may compute for hours what the others wait for.
        self._state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE) if several else None
        self.rank = self._state.process_index if self._state else 0
        self.size = self._state.num_processes if self._state else 1

    def map(self, label: str, function: Callable[[Tensor], Tensor], rows: Tensor, batch: int = BATCH) -> Tensor:
        """The function's results on the CPU, of ``batch`` rows at a time, put together; every process has them all.

        Args:
            label: what is being done, for those who wait.
            function: rows ``(m, …)`` to results ``(m, …)``, each of its own row.
            rows: ``(n, …)``.
            batch: rows at a time.
        """
        parts = rows.split(batch)
        with progress(label, len(rows)) as advance:
            mine = []
            for rows_of_it in parts[self.rank :: self.size]:
                mine.append(function(rows_of_it).cpu())
                advance.by(len(rows_of_it) * self.size)
        return torch.cat([done for _, done in self.together(list(enumerate(parts)), mine)])

    def together(self, dealt: Sequence[tuple[int, object]], mine: list[T]) -> list[tuple[int, T]]:
        """What all processes made of what was dealt to them in turn, in the order it was dealt."""
        numbers = [number for number, _ in dealt[self.rank :: self.size]]
        pairs = list(zip(numbers, mine, strict=True))
        gathered = gather_object(pairs) if self.size > 1 else pairs
        return sorted(gathered, key=lambda pair: pair[0])

    def join(self, done: dict[str, T]) -> dict[str, T]:
        """What each process has by name, in one."""
        if self.size == 1:
            return done
        return {name: value for part in gather_object([done]) for name, value in part.items()}

    def deal(self, things: Iterable[T]) -> Iterator[T]:
        """Those of ``things`` that this process sees to."""
        return (thing for i, thing in enumerate(things) if i % self.size == self.rank)

    @property
    def ranks(self) -> dict[str, Any]:
        """The arguments that tell :func:`disentangle.metrics.extract_features` of the processes."""
        if self._state is None:
            return {}
        device = self._state.device
        return {"rank": self.rank, "processes": self.size, "gather": lambda rows: gather(rows.to(device))}

    def place(self, device: torch.device) -> torch.device:
        """The device of this process, of those of that type."""
        return self._state.device if self._state is not None and device.type == "cuda" else device

    def first(self, look: Callable[[], T]) -> T:
        """What the first process sees, for all."""
        if self.size == 1:
            return look()
        seen = [look() if self.rank == 0 else None]
        broadcast_object_list(seen, from_process=0)
        return seen[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Go on when all are here."""
        if self._state is not None:
            self._state.wait_for_everyone()


def part() -> None:
    """Let the processes that torchrun started end together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
