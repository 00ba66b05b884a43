"""Published files: where they are looked for, and how they are downloaded."""

import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from disentangle.errors import UserError

TIMEOUT = 30.0  # seconds without an answer
LARGEST = 1 << 28  # bytes of a download, or that a file may unpack to; the largest, CIFAR-10's archive, has 171 million

logger = logging.getLogger(__name__)


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


def download(url: str, path: Path, what: str, digest: Callable[[bytes], str], expected: str) -> None:
    """Download a file, which appears only when it is complete and its checksum right.

    Args:
        url: where it is.
        path: where it goes.
        what: whose file it is, in words.
        digest: the checksum of its content.
        expected: what that must be.

    Raises:
        UserError: where there is no connection, the content is not the published one, or it cannot be written.
    """
    mend = f"fetch {url} yourself and put it in {path.parent}, or where DISENTANGLE_DATA says"
    logger.info("downloading %s", url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            content = answer.read(LARGEST)
    except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
        raise UserError(f"cannot download {what} ({getattr(error, 'reason', error)}): {mend}") from None
    found = digest(content)
    if found != expected:
        raise UserError(f"what came from {url} is not the published file (checksum {found}): {mend}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as partial:
            (Path(partial) / path.name).write_bytes(content)
            (Path(partial) / path.name).replace(path)
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror or error}") from None
