"""Files and folders that are either whole or not there."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from disentangle.errors import UserError

PATIENCE = 10.0
"""Seconds for work of a moment that another process does in a folder."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write (no space, no right) into a :class:`UserError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was there before is kept; "
            "make room or choose another folder and try again"
        ) from error


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file such that a reader, or a kill at any moment, finds the old contents or the new ones.

    Raises:
        UserError: where it cannot be written; nothing is left behind.
    """
    raw = data.encode() if isinstance(data, str) else data
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
            _sync(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def check_writable(folder: Path) -> None:
    """Raise :class:`UserError` where ``folder``, made if need be, takes no files: before hours of work, not after."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside ``path`` to be filled; on success it becomes ``path``, on failure it disappears.

    Raises:
        UserError: where it cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield partial
            for entry in (*partial.rglob("*"), partial):
                _sync(entry)
            partial.chmod(0o777 & ~_umask())
            partial.rename(path)
            _sync(path.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def remove_folder(path: Path) -> None:
    """Remove a folder so that, killed half-way, it is not mistaken for a whole one: it is hidden first."""
    hidden = path.with_name(f".{path.name}.removed")
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def clean_up(folder: Path) -> None:
    """Remove what killed processes left in ``folder``: hidden, half-written or half-removed entries."""
    for leftover in folder.glob(".*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the system put a file, or a folder's list of files, on the disk, against a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hold(handle: int, seconds: float) -> None:
    """Lock an open folder; BlockingIOError where it is still held after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process, and in it for this thread, alone; the system lets go of it when the process ends,
    however it ends.

    Args:
        folder: which exists.
        wait: some seconds for whoever holds it to let go of it, instead of giving up: for work of a moment.

    Raises:
        UserError: where another process holds it.
    """
    with disk_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        _hold(handle, PATIENCE if wait else 0.0)
        yield
    except BlockingIOError:
        doing = "writing to" if wait else "training in"
        raise UserError(f"another process is {doing} {folder}: wait until it ends, or stop it") from None
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
