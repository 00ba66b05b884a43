"""``disentangle app``: steer a trained generator in the browser."""

import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    import gradio as gr

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
    launch(args.runs, args.port, open_browser=args.browser, block=True)


def launch(runs: Path, port: int | None = None, open_browser: bool = False, block: bool = True) -> "gr.Blocks":
    """Serve the app on 127.0.0.1 and say where.

    Args:
        runs: a folder of runs, or one run.
        port: where to listen; 0 is any free port, ``None`` the first free one from 7860.
        open_browser: open the page.
        block: return only when the process is interrupted; otherwise the server goes on in threads of its own.

    Returns:
        the running page; ``.local_url`` is its address and ``.close()`` ends it.

    Raises:
        UserError: where there is no run, the first one cannot be opened, or the port is not to be had.
    """
    chosen = free_port(port)
    # Read when Gradio is imported: without it, Gradio reports its launch and looks for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Gradio asks its own server whether it is up; a proxy would be asked about its own 127.0.0.1 instead.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{direct},{HOST}" if direct else HOST

    from disentangle.apps.studio import Studio
    from disentangle.apps.traverse.markup import CSS
    from disentangle.apps.traverse.page import build, theme

    studio = Studio(Path(runs))
    studio.open(studio.names()[0], "auto")  # what is wrong with it is said here and not in the browser
    page = build(studio)
    try:
        page.launch(
            server_name=HOST,
            server_port=chosen,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            footer_links=[],
            theme=theme(),
            css=CSS,
        )
    except OSError as error:
        raise _taken(chosen) from error
    logger.info("the app is at http://%s:%d", HOST, chosen)
    if block:
        logger.info("Ctrl-C ends it")
        page.block_thread()
    return page


def free_port(port: int | None) -> int:
    """The port to use: the given one if it is free, any free one for 0."""
    if port is None:
        for candidate in PORTS:
            if _is_free(candidate):
                return candidate
        port = 0
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port} is no port: possible: 1 to 65535, or 0 for any free one")
    if port == 0:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])
    if not _is_free(port):
        raise _taken(port)
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one may linger
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _taken(port: int) -> UserError:
    return UserError(
        f"port {port} is in use or not permitted: choose another with --port, or --port 0 for any free one"
    )
