"""What the server answers at all: requests of its own pages, of bounded size, and nothing to anyone else's."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost", "[::1]")
MIB = 2**20
LARGEST_UPLOAD = 16 * MIB
LARGEST_BODY = 1 * MIB
LARGEST_DRAINED, LINGER = 64 * MIB, 5.0
"""Bytes and seconds for what is too large and thrown away."""
LONGEST_ADDRESS = 16 * 1024
UPLOAD = "/gradio_api/upload"
MOST_PARTS = 4096
"""Lists and mappings in a body."""
LONGEST_SESSION = 64
MOST_UPLOADED, STALE = 1024 * MIB, 600.0
"""Bytes of what visitors have uploaded; seconds after which an upload that is not whole has broken off."""
BODY_PATIENCE = 60.0
"""Seconds for a body, so that connections that send nothing more take nobody's place."""

PROXIES = (b"x-forwarded-", b"forwarded", b"x-real-", b"x-original-", b"x-gradio-", b"x-direct-url")
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


class Late(Exception):
    """A body has not arrived in time."""


class Refused(Exception):
    """A body asks for what nobody gets."""


class Guard:
    """ASGI middleware, the outermost.

    - A ``Host`` that is not this machine's own name is refused: a page elsewhere whose name was pointed here (DNS
      rebinding) sends its own.
    - So is an ``Origin`` that is not the address that was asked, and a request that the browser says another site made.
    - Bodies and addresses are bounded, whether or not they say how long they are.
    - What is sent to Gradio may name no file but those that were uploaded. Gradio reads every file that a request
      names, whichever part of the page the request is for, and hands out copies of it.
    - A function of the page is one of those that it has.
    - What proxies say of a request is not believed: there is none in between.

    Args:
        app: what it guards.
        uploads: folder of the files that visitors upload.
        functions: numbers of the page's functions.
        hosts: names that this server goes by.
    """

    def __init__(self, app: App, uploads: Path, functions: Collection[int], hosts: tuple[str, ...] = HOSTS) -> None:
        self.app = app
        self.uploads = uploads.resolve()
        self.functions = functions
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no page of ours opens a web socket
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        path = str(scope["path"])
        if len(hosts) != 1 or not self.is_own(headers, path):
            await _answer(send, 403, "this server answers pages of its own only")
            return
        scope["headers"] = [pair for pair in scope["headers"] if not pair[0].lower().startswith(PROXIES)]
        if len(path) + len(scope.get("query_string", b"")) > LONGEST_ADDRESS:
            await _answer(send, 414, f"the address is too long: possible: {LONGEST_ADDRESS:,} characters")
            return
        most = LARGEST_UPLOAD + MIB if path.rstrip("/") == UPLOAD else LARGEST_BODY
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            await _drain(receive)
            await _answer(send, 413, f"the request is too large: {length[:20]} bytes of {most:,} at most")
            return
        if path.rstrip("/") == UPLOAD and not self._has_room():
            await _drain(receive)
            await _answer(send, 507, "there is no room for more pictures at the moment: try again later")
            return
        await self._pass(scope, Bounded(receive, most, self._refuses if self._reads(scope) else None), send)

    def _has_room(self) -> bool:
        """Whether more may be uploaded; parts of uploads that broke off, of which Gradio knows nothing, are removed."""
        held = 0
        for file in self.uploads.rglob("*"):
            with contextlib.suppress(OSError):  # it is gone
                status = file.stat()
                if file.is_file() and file.parent == self.uploads and status.st_mtime < time.time() - STALE:
                    file.unlink()
                else:
                    held += status.st_size
        return held < MOST_UPLOADED

    def _reads(self, scope: Scope) -> bool:
        """Whether it is what Gradio looks for files in: everything that is sent, but the uploads themselves."""
        return scope["method"] not in ("GET", "HEAD") and str(scope["path"]).rstrip("/") != UPLOAD

    def _refuses(self, body: bytes) -> str:
        """Why a body is refused: it names a file that was not uploaded, is nested so deeply that this cannot be told,
        calls its session by a name that no page has, all of which would be remembered, or asks for a function that
        there is not; ``""`` where it is not refused."""
        if body.count(b"[") + body.count(b"{") > MOST_PARTS:
            return f"a request may have {MOST_PARTS:,} lists and mappings at most"
        try:
            given = json.loads(body)
        except RecursionError:
            return "a request may not be nested so deeply"
        except ValueError:
            return ""  # what is no JSON names no file to anybody
        parts = [given]
        while parts:
            part = parts.pop()
            if isinstance(part, list):
                parts += part
            elif isinstance(part, dict):
                parts += part.values()
                if isinstance(part.get("path"), str) and not self._is_upload(part["path"]):
                    return "a request may name no file but those that were uploaded"
        if not isinstance(given, dict):
            return ""
        if len(str(given.get("session_hash", ""))) > LONGEST_SESSION:
            return f"the name of a session has {LONGEST_SESSION} characters at most"
        function = given.get("fn_index")
        known = function is None or (isinstance(function, int) and function in self.functions)
        return "" if known else "there is no such function"

    def _is_upload(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.uploads)
        except (OSError, ValueError):  # too long, or with a zero
            return False

    def is_own(self, headers: MutableMapping[str, str], path: str = "/") -> bool:
        """Whether a request comes from a page of this server, or from a program."""
        host = headers.get("host", "")
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        if name.lower() not in self.hosts or not (port.isdecimal() or not port):
            return False
        if headers.get("origin", f"http://{host}").lower() != f"http://{host}".lower():
            return False
        # A browser says who asked. A link that was clicked elsewhere may open the page itself, and in a tab of its own.
        site = headers.get("sec-fetch-site", "none")
        opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
        return site in ("none", "same-origin") or (opened and path == "/")

    async def _pass(self, scope: Scope, receive: "Bounded", send: Send) -> None:
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            if (receive.over or receive.refused or receive.late) and not begun:
                return  # what the application makes of a body cut off is not what there is to say
            if message["type"] == "http.response.start":
                begun = True
                named = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in named]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        with contextlib.suppress(TooLarge, Refused, Late, ClientDisconnect):
            await self.app(scope, receive, told)
        if receive.over and not begun:
            await _drain(receive.receive)
            await _answer(send, 413, f"the request is too large: {receive.most:,} bytes at most")
        elif receive.refused and not begun:
            await _answer(send, 403, receive.refused)
        elif receive.late and not begun:
            await _answer(send, 408, "the request did not arrive in time")


class Bounded:
    """Receives the same messages, until their bodies come to more than ``most`` bytes.

    Args:
        receive: where they come from.
        most: bytes.
        refuses: is shown the whole body before any of it goes on, and says why it should not, or ``""``.
    """

    def __init__(self, receive: Receive, most: int, refuses: Callable[[bytes], str] | None = None) -> None:
        self.receive, self.most, self.read = receive, most, 0
        self.refuses, self.refused = refuses, ""
        self.late, self.whole = False, False
        self.end: float | None = None

    @property
    def over(self) -> bool:
        """Whether there was more."""
        return self.read > self.most

    async def __call__(self) -> Message:
        if self.refuses is None:
            return await self._next()
        refuses, self.refuses, parts = self.refuses, None, []
        while True:
            message = await self._next()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        body = b"".join(parts)
        self.refused = refuses(body)
        if self.refused:
            raise Refused
        return {"type": "http.request", "body": body, "more_body": False}

    async def _next(self) -> Message:
        self.end = time.monotonic() + BODY_PATIENCE if self.end is None else self.end
        try:
            async with asyncio.timeout(None if self.whole else max(0.0, self.end - time.monotonic())):
                message = await self.receive()
        except TimeoutError:
            self.late = True
            raise Late from None
        self.read += len(message.get("body", b""))
        if self.over:
            raise TooLarge
        self.whole = self.whole or not message.get("more_body", False)
        return message


async def _drain(receive: Receive) -> None:
    """Read on for a while: who is still sending when the connection is closed never sees the answer."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while read < LARGEST_DRAINED:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


async def _answer(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
