"""Downloads that go on where they stopped, and whose files appear only when complete and right."""

import hashlib
import http
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from disentangle.data import files
from disentangle.errors import UserError

TIMEOUT = 30.0  # seconds without an answer
BLOCK = 1 << 20  # bytes in memory
TRIES = 5  # times that a connection is taken up again without anything new coming
PAUSE = 1.0  # seconds before that

Report = Callable[[int, int | None], None]
"""Told how many bytes are here, and how many there will be if that is known."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        url: where it is.
        checksum: ``"md5:…"`` or ``"sha256:…"``; empty where none is published.
        size: bytes; ``None`` where it is not published.
    """

    url: str
    checksum: str = ""
    size: int | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.url.rsplit("/", 1)[1]


def total_size(remotes: Sequence[Remote]) -> int | None:
    """Bytes of some files; ``None`` where they are not known."""
    sizes = [remote.size for remote in remotes]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def verify(remote: Remote, path: Path) -> None:
    """Check a file that was put there by hand, or earlier; nothing of it is changed.

    Raises:
        UserError: where its size or its checksum is not the published one, or it cannot be read.
    """
    kind = remote.checksum.partition(":")[0] or "md5"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
            size = file.tell()
    except OSError as error:
        raise files.cannot_read(path, error, "mend its permissions, or fetch it again") from None
    found = f"{kind}:{digest.hexdigest()}"
    if (remote.checksum and found != remote.checksum) or size != (remote.size or size):
        raise UserError(
            f"{path} is not the published file ({size:,} bytes, {found}): remove it, and `disentangle data get` or you "
            f"fetch {remote.url}"
        )


def download(remote: Remote, folder: Path, what: str, report: Report | None = None, by_hand: str | None = None) -> Path:
    """Download a file to ``folder``, unless it is there.

    It comes a megabyte at a time to ``NAME.part``, which is kept whatever happens, so that the next call goes on where
    this one stopped, if the server can. A connection that is cut is taken up again some times. Size and checksum are
    compared before the file gets its name.

    Args:
        remote: the file.
        folder: where it goes.
        what: whose file it is, in words.
        report: told of the progress.
        by_hand: what to fetch in its place where that fails; the file alone if ``None``.

    Returns:
        Its path.

    Raises:
        UserError: where there is no connection, the content is not the published one, the disk is full, or the folder
            cannot be written.
    """
    path = folder / remote.name
    mend = f"fetch {by_hand or remote.url} yourself and put it in {folder}, or where DISENTANGLE_DATA says"
    try:
        with files.partial(path) as part:
            if part is not None:
                _fill(remote, part, what, mend, report)
                Path(part.name).replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}: make room there, or name another folder"
        ) from None
    return path


def download_all(remotes: Sequence[Remote], folder: Path, what: str, report: Report | None = None) -> None:
    """Download several files, one after another; ``report`` is told of all of them together."""
    total, before = total_size(remotes), 0
    lacking = [remote.url for remote in remotes if not (folder / remote.name).exists()]
    for remote in remotes:

        def add(here: int, of: int | None, before: int = before) -> None:
            if report is not None:
                report(before + here, of if len(remotes) == 1 else total)

        before += download(remote, folder, what, add, " and ".join(lacking)).stat().st_size


class _Part:
    """A file that grows at its end, and the checksum of all that is in it.

    Args:
        file: opened to be appended to; what is in it already is read.
        kind: of checksum; empty for none.
    """

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self.path = Path(file.name)
        self._file = file
        self._kind = kind
        self._sum = hashlib.new(kind or "md5", usedforsecurity=False)
        self.size = 0
        with self.path.open("rb") as before:
            while block := before.read(BLOCK):
                self._take(block)

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._take(block)

    def empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._sum, self.size = hashlib.new(self._kind or "md5", usedforsecurity=False), 0

    def checksum(self) -> str:
        self._file.flush()
        return f"{self._kind}:{self._sum.hexdigest()}" if self._kind else ""

    def _take(self, block: bytes) -> None:
        self.size += len(block)
        if self._kind:
            self._sum.update(block)


def _fill(remote: Remote, file: BinaryIO, what: str, mend: str, report: Report | None) -> None:
    """Bring ``file`` to the whole content, and check it; raises OSError where it cannot be written."""
    logger.info("downloading %s", remote.url)
    part = _Part(file, remote.checksum.partition(":")[0])
    earlier = part.size > 0
    said = _complete(remote, part, what, mend, report)
    if said and earlier:
        logger.info("what was here of it does not fit the rest: once more from the start")
        part.empty()
        said = _complete(remote, part, what, mend, report)
    if said:
        part.path.unlink()
        raise UserError(f"what came from {remote.url} is not the published file ({said}): {mend}")


def _complete(remote: Remote, part: _Part, what: str, mend: str, report: Report | None) -> str:
    """Append to ``part`` all that it lacks.

    Returns:
        What it is in the end, if that is not what was published; else an empty text.
    """
    tries = 0
    while True:
        before = part.size
        try:
            total = _transfer(remote, part, report)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise UserError(f"cannot download {what} ({getattr(error, 'reason', error)}): {mend}") from None
        if total is None or part.size == total:
            break
        tries = 0 if part.size > before else tries + 1
        if tries == TRIES:
            raise UserError(
                f"cannot download {what} (the connection is cut after {part.size:,} of {total:,} bytes): try again, "
                f"which goes on from there, or {mend}"
            )
        time.sleep(PAUSE)
    found = part.checksum()
    if found == remote.checksum and part.size == (remote.size or part.size):
        return ""
    return f"{part.size:,} bytes" + (f", {found}" if found else "")


def _transfer(remote: Remote, part: _Part, report: Report | None) -> int | None:
    """Append to ``part`` what it lacks, until the end or until the connection is cut.

    Returns:
        How many bytes the whole file has, if that is known.
    """
    start = part.size
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # nothing lies beyond: all of it is here, or what is here is something else
        if error.headers.get("Content-Range") != f"bytes */{start}":
            part.empty()
        return start
    with answer:
        if not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
            part.empty()  # the server sends it from the start
        length = answer.headers.get("Content-Length")
        total = remote.size if length is None else part.size + int(length)
        free = shutil.disk_usage(part.path.parent).free
        if total is not None and total - part.size > free:
            raise OSError(0, f"{(total - part.size) / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
        while True:
            try:
                block = answer.read(BLOCK)
            except (OSError, http.client.HTTPException):
                return part.size + 1 if total is None else total
            if not block:
                return total
            part.write(block)
            if report is not None:
                report(part.size, total)
