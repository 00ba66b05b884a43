"""Pictures that are fetched while the step before is still computed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

import torch
from torch import Tensor

AHEAD = 2
"""Batches that are fetched ahead, at most."""


class Feed:
    """Fetches batches in the background, one after another, in the order in which they were asked for.

    A thread a batch, which ends with it: nothing is left to close. A process that ends waits for the batch at hand.

    Args:
        fetch: makes the pictures of a batch, from another thread than the caller's; the same ones for the same indices.
    """

    def __init__(self, fetch: Callable[[Tensor], Tensor]) -> None:
        self._fetch = fetch
        self._asked: list[tuple[Tensor, Future[Tensor]]] = []

    def ask(self, indices: Tensor) -> None:
        """Begin to fetch the batch of ``indices``, unless it was asked for before.

        The oldest batch that nobody took is given up where there are more than :data:`AHEAD`.
        """
        if self._find(indices) is not None:
            return
        while len(self._asked) >= AHEAD:
            self._asked.pop(0)[1].cancel()
        future: Future[Tensor] = Future()
        threading.Thread(target=self._work, args=(indices, future, [f for _, f in self._asked]), name="feed").start()
        self._asked.append((indices, future))

    def take(self, indices: Tensor) -> Tensor:
        """The batch of ``indices``: waits for it if it was asked for, and fetches it here and now if not.

        Raises:
            Exception: what ``fetch`` raised for this batch.
        """
        place = self._find(indices)
        if place is None:
            return self._fetch(indices)
        return self._asked.pop(place)[1].result()

    def _work(self, indices: Tensor, future: "Future[Tensor]", before: "list[Future[Tensor]]") -> None:
        wait(before)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._fetch(indices))
        except BaseException as error:  # whatever it is, it belongs to the step that needs this batch
            future.set_exception(error)

    def _find(self, indices: Tensor) -> int | None:
        return next((place for place, (asked, _) in enumerate(self._asked) if torch.equal(asked, indices)), None)
