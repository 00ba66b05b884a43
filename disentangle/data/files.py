"""Published files: where they are looked for, and what is said where they are missing or damaged."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # a system without such locks: two processes that write the same file do its work twice
    fcntl = None  # type: ignore[assignment,unused-ignore]

from disentangle.errors import UserError

LARGEST = 1 << 28  # bytes that a small file may unpack to; the largest, CIFAR-10's archive, has 171 million


def places() -> list[Path]:
    """Where files are looked for, in order: ``$DISENTANGLE_DATA``, the cache, torchvision's usual roots, Debian's."""
    home = Path.home()
    given = os.environ.get("DISENTANGLE_DATA")
    bases = [Path(given).expanduser()] if given else []
    bases += [
        home / ".cache/disentangle",
        Path("data"),
        home / "data",
        home / ".cache/torch",
        Path("/usr/share/datasets"),
    ]
    return bases


def cache(name: str) -> Path:
    """The folder that the files of the data set ``name`` are downloaded to."""
    given = os.environ.get("DISENTANGLE_DATA")
    return (Path(given).expanduser() if given else Path.home() / ".cache/disentangle") / name


def find(has: Callable[[Path], bool], folders: Sequence[str], root: Path | None) -> Path | None:
    """A folder that ``has`` what is needed.

    Args:
        has: whether a folder does.
        folders: folders to look at in each place; ``"."`` is the place itself.
        root: the only place, and looked at itself, if given; else the usual ones.
    """
    for base in places() if root is None else [root]:
        for name in folders if root is None else (".", *folders):
            if has(base / name):
                return base / name
    return None


@contextmanager
def partial(path: Path) -> Iterator[BinaryIO | None]:
    """The file ``path`` with ``.part`` appended, to be filled and then renamed to ``path``, for one process at a time.

    Gives ``None`` where another process has finished it meanwhile. What is empty at the end is removed.
    """
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    while not path.exists():
        with part.open("ab") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)  # waits for a process that fills it
            if not part.exists() or not os.path.samestat(part.stat(), os.fstat(file.fileno())):
                continue  # that process has renamed or removed it
            try:
                yield file
            finally:
                if part.exists() and file.tell() == 0:  # which counts what is not written yet
                    part.unlink()
            return
    yield None


def cannot_read(path: Path, error: OSError, mend: str) -> UserError:
    """The error for a file that cannot be read."""
    return UserError(f"cannot read {path}: {error.strerror or error}: {mend}")


def damaged(path: Path, reason: object, mend: str) -> UserError:
    """The error for a file that is not what was published; ``reason`` is put on one line."""
    return UserError(f"{path} is damaged or another file ({' '.join(str(reason).split())}): {mend}")


def missing(name: str, wanted: str, root: Path | None, source: str = "") -> UserError:
    """The error for a data set whose files are in no place where they are looked for.

    Args:
        name: the set.
        wanted: its files, in words.
        root: where the user said they are.
        source: where to get them by hand; empty where ``disentangle data get`` can.
    """
    where = str(root) if root is not None else str(cache(name))
    how = source or f"`disentangle data get {name}{'' if root is None else f' --root {root}'}` fetches it"
    if root is not None:
        return UserError(f"no files of {name} in {root}: it must hold {wanted}: {how}")
    return UserError(f"the data set {name!r} is not here: {how}; put {wanted} in {where} or name its folder as root")
