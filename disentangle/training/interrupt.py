"""Ctrl-C, which waits for the end of a step, so that nothing of it is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_waits() -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C is only noted, and the second one raises KeyboardInterrupt at once.

    Gives a function that says whether there was one. Where signals are not ours to handle, in another thread than the
    main one or under somebody's own handler, all stays as it is and the function says no.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: False
        return
    noted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        noted.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
