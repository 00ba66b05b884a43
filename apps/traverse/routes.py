"""What the page's own script asks for: pictures, strips, files to keep, and the words around them.

All but one are plain GETs whose query is an :class:`~disentangle.apps.edit.Edit`'s, so that an address says all there
is to know about what it shows. The one that writes is ``POST /app/name``.
"""

import functools
import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from disentangle.apps import renderings
from disentangle.apps.edit import Edit
from disentangle.apps.kept import load_picture
from disentangle.apps.studio import POSITIONS, Studio, View, picture
from disentangle.apps.traverse import compare, panel, scores
from disentangle.apps.traverse.api import data_address
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil

logger = logging.getLogger(__name__)

WAITING = 256
"""Requests that may wait for a processor; one more is told to come again."""
SEEDS = 8
"""Starts that a grid or a loop shows at once, at most."""
CLOSED = 499
GIF, MP4 = "gif", "mp4"

Json = dict[str, Any]


class Changed(UserError):
    """What a page was made for is there no more."""


def add(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the server that is being built."""
    room = Room()

    def get(path: str, make: Callable[[Request], Response], many: bool = False) -> None:
        async def answer(request: Request) -> Response:
            limit = room.opening if not _is_open(studio, request) else room.drawing if many else room.quick
            return await room.work(request, functools.partial(make, request), limit)

        app.add_api_route(path, answer, methods=["GET"], include_in_schema=False)

    get("/picture.png", lambda request: _picture(studio, request))
    get("/original.png", lambda request: _original(studio, request))
    get("/app/strip", lambda request: JSONResponse(_strip(studio, request)), many=True)
    get("/app/runs", lambda request: JSONResponse(panel.runs(studio)))
    get("/app/run", lambda request: JSONResponse(_run(studio, request)))
    get("/app/compare", lambda request: JSONResponse(_compare(studio, request)))
    get("/app/scores", lambda request: JSONResponse(scores.tab(studio.run(request.query_params.get("run", "")))))
    for file in ("strip.png", "grid.png", "loop.gif", "loop.mp4"):
        get(f"/{file}", functools.partial(_file, studio, file), many=True)

    async def name(request: Request) -> Response:
        body = await request.body()
        return await room.work(request, lambda: JSONResponse(_name(studio, request, body)), room.opening)

    app.add_api_route("/app/name", name, methods=["POST"], include_in_schema=False)


class Room:
    """Where requests wait for a processor. One whose page has given up by then is not worked on.

    Requests for a run that has to be opened first, which may take a while, wait apart, and so do those for many
    pictures at once: the one picture that a slider moves overtakes them.
    """

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self.quick = anyio.CapacityLimiter(cores)
        self.drawing = anyio.CapacityLimiter(max(1, cores // 2))
        self.opening = anyio.CapacityLimiter(2)
        self.waiting = 0

    async def work(self, request: Request, make: Callable[[], Response], limit: anyio.CapacityLimiter) -> Response:
        """The response that ``make`` gives, in a thread; what goes wrong becomes one in words."""
        if self.waiting >= WAITING:
            return _words("the server is busy: try again in a moment", 503)
        self.waiting += 1
        try:
            async with limit:
                if await request.is_disconnected():
                    return Response(status_code=CLOSED)
                return await anyio.to_thread.run_sync(_safe, make)
        finally:
            self.waiting -= 1


def _is_open(studio: Studio, request: Request) -> bool:
    """Whether all that a request is about is in memory already."""
    given = request.query_params
    about = [(given[f"run{i}"], given.get(f"directions{i}") or "auto") for i in ("", 1, 2) if f"run{i}" in given]
    return all(studio.opened(run, directions) is not None for run, directions in about)


def _safe(make: Callable[[], Response]) -> Response:
    try:
        return make()
    except Changed as error:
        return _words(str(error), 409)
    except UserError as error:
        return _words(str(error), 400)
    except Exception:
        logger.exception("a request failed")
        return _words("this went wrong here, and not by your doing: the terminal of the app says more", 500)


def _words(text: str, status: int) -> Response:
    return Response(text, status, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})


def _asked(studio: Studio, request: Request) -> tuple[View, Edit]:
    """The view and the edit that a query means; with ``seen``, only as the page has seen them."""
    edit = Edit.from_query(request.url.query)
    view = studio.open(edit.run, edit.directions)
    seen = request.query_params.get("seen", "")
    if seen and seen != view.fingerprint:
        raise Changed(f"the run {edit.run} or its directions have changed since the page was loaded: reload it")
    return view, edit


def _picture(studio: Studio, request: Request) -> Response:
    """The picture of an edit. It may be kept by the browser where the query says which weights it is of."""
    view, edit = _asked(studio, request)
    headers = {"cache-control": "private, max-age=600" if edit.weights and not edit.coordinates else "no-store"}
    if "download" in request.query_params:
        headers["content-disposition"] = f'attachment; filename="{_stem(edit)}.png"'
    return Response(png_bytes(to_pil(picture(view, edit))), media_type="image/png", headers=headers)


def _original(studio: Studio, request: Request) -> Response:
    """A picture that was inverted, as it was given."""
    view, edit = _asked(studio, request)
    if not edit.picture:
        raise UserError("name a picture: expected run=NAME&picture=NAME")
    kept = load_picture(view.run, edit.picture, view.weights)
    return Response(png_bytes(to_pil(kept.original)), media_type="image/png", headers={"cache-control": "no-store"})


def _along(request: Request, view: View) -> int:
    text = request.query_params.get("along", "")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) < len(view.directions)):
        raise UserError(f"along must be a direction's place, 0 to {len(view.directions) - 1}, got {text[:20]!r}")
    return int(text)


def _starts(request: Request, edit: Edit) -> list[Edit]:
    """The edit, then the same of the other seeds that are asked for."""
    texts = [part for part in request.query_params.get("seeds", "").split(",") if part]
    if len(texts) > SEEDS or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in texts):
        raise UserError(f"seeds must be {SEEDS} whole numbers at most, as in seeds=1,2,3")
    others = [replace(edit, seed=int(part), picture="") for part in texts]
    return [edit, *(other for other in others if other != edit)]


def _strip(studio: Studio, request: Request) -> Json:
    """One direction from end to end, from one start or several."""
    view, edit = _asked(studio, request)
    k = _along(request, view)
    rows = [
        {
            "start": f"picture {start.picture[:6]}" if start.picture else f"seed {start.seed}",
            "seed": start.seed,
            "pictures": [data_address(renderings.png(view, renderings.at(start, k, x))) for x in POSITIONS],
        }
        for start in _starts(request, edit)
    ]
    return {"label": view.directions.labels[k], "positions": list(POSITIONS), "rows": rows}


def _file(studio: Studio, name: str, request: Request) -> Response:
    """A strip, grid or loop as a file to keep."""
    view, edit = _asked(studio, request)
    k, starts = _along(request, view), _starts(request, edit)
    kind = name.rsplit(".", 1)[1]
    if kind == "png":
        drawn = renderings.sheet(view, starts, k) if name == "grid.png" else renderings.strip(view, edit, k)
        content, media = png_bytes(drawn), "image/png"
    else:
        seeds = [start.seed for start in starts] if len(starts) > 1 else []
        frames = renderings.frames(view, edit, k, seeds=seeds)
        content = renderings.gif_bytes(frames) if kind == GIF else renderings.mp4_bytes(frames)
        media = "image/gif" if kind == GIF else "video/mp4"
    title = f"{_stem(edit)}-{k}-{name.rsplit('.', 1)[0]}.{kind}"
    headers = {"content-disposition": f'attachment; filename="{title}"', "cache-control": "no-store"}
    return Response(content, media_type=media, headers=headers)


def _run(studio: Studio, request: Request) -> Json:
    """All that the page needs to show a run's directions."""
    given = request.query_params
    view = studio.open(given.get("run", ""), given.get("directions") or "auto")
    return panel.described(view, given.get("weights", ""), given.get("basis", ""))


def _compare(studio: Studio, request: Request) -> Json:
    given = request.query_params
    sides = [studio.open(given.get(f"run{i}", ""), given.get(f"directions{i}") or "auto") for i in (1, 2)]
    return compare.described(sides[0], sides[1])


def _name(studio: Studio, request: Request, body: bytes) -> Json:
    """Name a direction. Another site's page cannot send JSON without asking for leave first, which it does not get."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise UserError("expected application/json")
    try:
        given = json.loads(body)
        run, directions, seen = (str(given[key]) for key in ("run", "directions", "seen"))
        k, name, note = given["place"], str(given["name"]), str(given["note"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError("expected JSON with run, directions, seen, place, name and note") from None
    if not isinstance(k, int) or isinstance(k, bool):
        raise UserError(f"the place of a direction is a whole number, got {str(k)[:20]!r}")
    view = studio.open(run, directions)
    if seen != view.fingerprint:
        raise Changed(f"the run {run} or its directions have changed since the page was loaded: reload it")
    named = list(zip(view.directions.names, view.directions.notes))
    if 0 <= k < len(named) and given.get("was", [*named[k]]) != [*named[k]]:
        raise Changed(f"somebody has called it {named[k][0]!r} since the page was loaded: reload it")
    return panel.described(studio.rename(view, k, name, note))


def _stem(edit: Edit) -> str:
    """A file's name of letters that every system takes."""
    start = edit.picture[:8] or f"seed{edit.seed}"
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in f"{edit.run}-{start}")[:100]
