"""What the server answers at all: requests of its own pages, of bounded size, and nothing to anyone else's."""

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost", "[::1]")
MIB = 2**20
LARGEST_UPLOAD = 16 * MIB
LARGEST_BODY = 1 * MIB
LONGEST_ADDRESS = 16 * 1024
UPLOAD = "/gradio_api/upload"

HEADERS = {
    # Gradio's own pages need inline scripts and styles, and evaluate their templates. Nothing may come from elsewhere.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class TooLarge(Exception):
    """A body went on past its bound."""


class Guard:
    """ASGI middleware, the outermost.

    - A ``Host`` that is not this machine's own name is refused: a page elsewhere whose name was pointed here (DNS
      rebinding) sends its own.
    - So is an ``Origin`` that is not the address that was asked, and a request that the browser says another site made.
    - Bodies and addresses are bounded, whether or not they say how long they are.

    Args:
        app: what it guards.
        hosts: names that this server goes by.
    """

    def __init__(self, app: App, hosts: tuple[str, ...] = HOSTS) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no page of ours opens a web socket
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) != 1 or not self.is_own(headers):
            await _answer(send, 403, "this server answers pages of its own only")
            return
        path = str(scope["path"])
        if len(path) + len(scope.get("query_string", b"")) > LONGEST_ADDRESS:
            await _answer(send, 414, f"the address is too long: possible: {LONGEST_ADDRESS:,} characters")
            return
        most = LARGEST_UPLOAD + MIB if path.rstrip("/") == UPLOAD else LARGEST_BODY
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            await _answer(send, 413, f"the request is too large: {length[:20]} bytes of {most:,} at most")
            return
        await self._pass(scope, Bounded(receive, most), send)

    def is_own(self, headers: MutableMapping[str, str]) -> bool:
        """Whether a request comes from a page of this server, or from a program."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() not in self.hosts:
            return False
        origin = headers.get("origin")
        if origin is not None and (
            urlsplit(origin).scheme != "http" or urlsplit(origin).netloc.lower() != host.lower()
        ):
            return False
        # A browser says who asked; a link that was clicked elsewhere may open the page itself.
        site = headers.get("sec-fetch-site", "none")
        return site in ("none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"

    async def _pass(self, scope: Scope, receive: "Bounded", send: Send) -> None:
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            if receive.over and not begun:
                return  # what the application makes of a body cut off is not what there is to say
            if message["type"] == "http.response.start":
                begun = True
                named = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in named]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        with contextlib.suppress(TooLarge):
            await self.app(scope, receive, told)
        if receive.over and not begun:
            await _answer(send, 413, f"the request is too large: {receive.most:,} bytes at most")


class Bounded:
    """Receives the same messages, until their bodies come to more than ``most`` bytes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self.receive, self.most, self.read = receive, most, 0

    @property
    def over(self) -> bool:
        """Whether there was more."""
        return self.read > self.most

    async def __call__(self) -> Message:
        message = await self.receive()
        self.read += len(message.get("body", b""))
        if self.over:
            raise TooLarge
        return message


async def _answer(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
