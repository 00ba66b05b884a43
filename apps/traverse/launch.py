"""``disentangle app``: steer a trained generator in the browser."""

import atexit
import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.apps.traverse.server import Serving

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORTS = range(7860, 7960)


@dataclass(frozen=True)
class Args:
    """Open the web app: one slider a direction, and the picture follows.

    It listens on 127.0.0.1 only and fetches nothing from the network. Ctrl-C ends it.

    example: disentangle app runs --port 8000
    """

    runs: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """A folder of runs, or one run."""
    port: int | None = None
    """Where to listen; 0 is any free port, and without it the first free one from 7860 is taken."""
    browser: bool = False
    """Also open it in the browser."""


def main(argv: list[str]) -> None:
    """Run the command."""
    args = parse(Args, args=argv, prog="disentangle app")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # then what visitors have uploaded goes, too
    launch(args.runs, args.port, open_browser=args.browser, block=True)


def launch(runs: Path, port: int | None = None, open_browser: bool = False, block: bool = True) -> "Serving":
    """Serve the app on 127.0.0.1 and say where.

    Args:
        runs: a folder of runs, or one run; where there is none yet, the page says what to type.
        port: where to listen; 0 is any free port, ``None`` the first free one from 7860.
        open_browser: open the page.
        block: return only when the process is interrupted; otherwise the server goes on in threads of its own.

    Returns:
        the running server; ``.local_url`` is its address and ``.close()`` ends it.

    Raises:
        UserError: where ``runs`` is no folder, or the port is not to be had.
    """
    listener = _listener(port)
    try:
        logger.info("starting: reading the libraries takes a moment")
        _settle()

        from disentangle.apps.studio import Studio
        from disentangle.apps.traverse.server import serve

        studio = Studio(Path(runs))
        found = studio.names()
        serving = serve(studio, HOST, listener)
    except BaseException:
        listener.close()
        raise
    if not found:
        logger.warning("there is no trained run in %s yet: the page says what to type", runs)
    logger.info("the app is at %s", serving.local_url)
    if open_browser:
        webbrowser.open(serving.local_url)
    if block:
        logger.info("Ctrl-C ends it")
        serving.wait()
    return serving


def _settle() -> None:
    """What Gradio is told by the environment, before it is imported."""
    # Otherwise it reports its launch and looks for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Otherwise the pictures that visitors upload lie in a folder of all users of the machine.
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="disentangle-app-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["GRADIO_TEMP_DIR"] = folder


def free_port(port: int | None) -> int:
    """The port to use: the given one if it is free, any free one for 0.

    Raises:
        UserError: where it is none, or is not to be had.
    """
    with _listener(port) as listener:
        return int(listener.getsockname()[1])


def _listener(port: int | None) -> socket.socket:
    """A socket bound to the port, or to the first free one."""
    if port is None:
        for candidate in PORTS:
            with contextlib.suppress(OSError):
                return _bound(candidate)
        port = 0
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port} is no port: possible: 1 to 65535, or 0 for any free one")
    try:
        return _bound(port)
    except OSError as error:
        raise UserError(
            f"port {port} is in use or not permitted: choose another with --port, or --port 0 for any free one"
        ) from error


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed just now may linger
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener
