"""The server: the page, its routes, and a guard before all of them."""

import asyncio
import logging
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from gradio.route_utils import FnIndexInferError
from gradio.routes import App
from gradio.utils import get_upload_folder
from starlette.routing import Mount
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from disentangle.apps.studio import Studio
from disentangle.apps.traverse import routes
from disentangle.apps.traverse.guard import LARGEST_UPLOAD, Guard
from disentangle.apps.traverse.page import build, head, theme
from disentangle.apps.traverse.work import Work
from disentangle.errors import UserError

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that a server may take to begin."""
CONNECTIONS = 512
"""Requests at once; one more is told to come again."""
WORK_PATIENCE = 10.0
"""Seconds for a visitor's long work to notice that the server ends; a step of it takes less."""
HEADER_PATIENCE = 15.0
"""Seconds for the head of a request, so that connections that say nothing take nobody's place."""


class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, which by itself waits for the head of a request without end."""

    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The first request may begin."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Part of a request has come: the last of its head, or not yet."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if self.timer is not None and not waiting:
            self.timer.cancel()
            self.timer = None
        elif self.timer is None and waiting:
            self.timer = self.loop.call_later(HEADER_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        self.timer = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Uvicorn, which by itself does not tell Gradio that it ends: open pages would hold it up, and it would complain.

    Args:
        config: see there.
        page: Gradio's application.
        work: what goes on for visitors.
    """

    def __init__(self, config: uvicorn.Config, page: App, work: Work) -> None:
        super().__init__(config)
        self.page, self.work = page, work

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, what visitors wait for and what Gradio holds open first."""
        await asyncio.to_thread(self.work.close, WORK_PATIENCE)
        self.page.stop_event.set()
        await super().shutdown(sockets)


@dataclass(frozen=True)
class Serving:
    """A running server.

    Attributes:
        local_url: its address.
        server: what serves.
        ended: whether it has ended. (A thread that an interrupt kept from being joined is taken to have ended by Python
            before 3.13, though it goes on.)
    """

    local_url: str
    server: uvicorn.Server
    ended: threading.Event

    @staticmethod
    def begin(local_url: str, server: uvicorn.Server, listener: socket.socket) -> "Serving":
        """Have it run in a thread."""
        ended = threading.Event()

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                ended.set()

        threading.Thread(target=run, daemon=True).start()
        return Serving(local_url, server, ended)

    def close(self) -> None:
        """End it."""
        self.server.should_exit = True
        self.ended.wait(PATIENCE)

    def wait(self) -> None:
        """Return when it has ended; an interrupt ends it."""
        try:
            while not self.ended.wait(1.0):
                pass
        except KeyboardInterrupt:
            self.close()


def application(studio: Studio, host: str, port: int, work: Work) -> tuple[FastAPI, App]:
    """The application, without its guard, and Gradio's within it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    routes.add(app, studio)
    page = build(studio, work)
    if not hasattr(page, "has_launched"):
        raise RuntimeError("this version of Gradio is not known to check which files a request may name")
    page.has_launched = True  # a page that is mounted and not launched takes any file that a request names
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        server_port=port,
        footer_links=[],
        show_error=True,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        run_history=False,
        max_file_size=LARGEST_UPLOAD,
        theme=theme(),
        head=head(),
    )
    within = next(route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, App))
    within.add_exception_handler(FnIndexInferError, _no_such_function)
    return app, within


async def _no_such_function(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is no such function"}, 404)


def serve(studio: Studio, host: str, listener: socket.socket) -> Serving:
    """Serve the app on a socket that is bound already.

    Torch runs on one thread from here on, in this whole process: the pictures of many visitors are made side by side,
    and each comes out the same, to the bit, as on the command line.

    Raises:
        UserError: where it does not begin.
    """
    torch.set_num_threads(1)
    port = int(listener.getsockname()[1])
    work = Work()
    app, page = application(studio, host, port, work)
    config = uvicorn.Config(
        Guard(app, Path(get_upload_folder()), frozenset(page.get_blocks().fns)),
        http=Impatient,
        proxy_headers=False,
        log_level="warning",
        access_log=False,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,  # pages hold connections open
        server_header=False,
    )
    server = Server(config, page, work)
    serving = Serving.begin(f"http://{host}:{port}/", server, listener)
    for _ in range(int(PATIENCE / 0.05)):
        if server.started:
            return serving
        if serving.ended.wait(0.05):
            break
    serving.close()
    raise UserError(f"the server did not begin at {serving.local_url}: try another --port")
