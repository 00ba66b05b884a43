"""What all tests share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports torch; also for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # numbers are compared to the bit; a GPU has tests of its own
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# Reproducible, and without a time limit an example: machines that run tests are often busy.
settings.register_profile("disentangle", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("disentangle")


SLOW = (
    "test_readme.py",
    "test_distributed.py",
    "test_resume.py",
    "test_sweep.py",
    "test_app.py",
    "test_manners.py",
    "test_packaging.py",
)
"""Files with few tests that take long: begun first, so that no process works on one alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first; the order of the others stays."""
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """``require(condition, reason)`` skips a test whose browser or data file is missing, and says so.

    With ``DISENTANGLE_REQUIRE_ALL=1`` it fails instead, so that nothing is skipped unnoticed where all is installed.
    """

    def check(condition: object, reason: str) -> None:
        if condition:
            return
        if os.environ.get("DISENTANGLE_REQUIRE_ALL") == "1":
            pytest.fail(f"DISENTANGLE_REQUIRE_ALL is set: {reason}", pytrace=False)
        pytest.skip(reason)

    return check


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as on a terminal: a shell that starts its commands in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]
