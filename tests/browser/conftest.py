"""The app in a real browser, from which nothing may be asked of others.

A screenshot of every view is written to the folder that ``DISENTANGLE_SCREENSHOTS`` names, or to a temporary one.
"""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disentangle.apps.traverse.launch import launch
from tests.browser.acts import DESKTOP, PATIENCE
from tests.runs import gan_run, vae_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from disentangle.apps.traverse.server import Serving

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained runs, and one that is damaged."""
    runs = tmp_path_factory.mktemp("runs")
    gan_run(runs / "grey")
    vae_run(runs / "vivid")
    next(gan_run(runs / "hurt").path.glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    rows = [{"step": 10 * i, "log10_kappa/layer 1": 3 - 0.1 * i} for i in range(9)]
    (runs / "grey" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return runs


@pytest.fixture(scope="module")
def serving(runs: Path) -> "Iterator[Serving]":
    """The app."""
    serving = launch(runs, 0, block=False)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def browser(require: Callable[[object, str], None]) -> "Iterator[Browser]":
    """Debian's Chromium."""
    require(CHROMIUM, "chromium is not installed (Debian: chromium)")
    require(importlib.util.find_spec("playwright"), "playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go."""
    folder = Path(os.environ.get("DISENTANGLE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Watch:
    """What a browser context asked for, and what went wrong in it."""

    def __init__(self, context: "BrowserContext", address: str) -> None:
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.address = address
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("response", lambda answer: self.errors.append(answer.url) if answer.status >= 500 else None)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.elsewhere.append(url)


@pytest.fixture
def visit(browser: "Browser", serving: "Serving") -> "Iterator[Callable[..., Page]]":
    """Open a page in a session of its own; afterwards nothing may have come from elsewhere, and no error be told."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def visit(query: str = "", dark: bool = False, size: dict[str, int] | None = None, address: str = "") -> "Page":
        context = browser.new_context(
            viewport=size or DESKTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
        )
        address = address or serving.local_url
        opened.append((context, Watch(context, address)))
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address + query)
        return page

    yield visit
    for context, watch in opened:
        context.close()
        assert watch.elsewhere == []
        assert [error for error in watch.errors if "400 (Bad Request)" not in error] == []
