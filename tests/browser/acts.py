"""What a visitor of the app does and sees, for tests in a real browser."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, picture
from disentangle.pictures import png_bytes, to_pil

if TYPE_CHECKING:
    from playwright.sync_api import Page


DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 60_000
SLIDER = ".d-explore .d-slider input"


def shown(page: "Page", query: str = "", within: str = ".d-explore .d-moved") -> str:
    """Hash of the big picture's bytes, once the one that the address means is there."""
    page.wait_for_function(
        "(within) => document.querySelector(`${within} img`)?.naturalWidth > 0",
        arg=within,
    )
    source = "async (within) => { const image = document.querySelector(`${within} img`);"
    source += "const bytes = await (await fetch(image.src)).arrayBuffer(); return Array.from(new Uint8Array(bytes)); }"
    return hashlib.sha256(bytes(page.evaluate(source, within))).hexdigest()


def expected(runs: Path, edit: Edit) -> str:
    """Hash of the bytes that an edit means."""
    view = Studio(runs).open(edit.run, edit.directions)
    return hashlib.sha256(png_bytes(to_pil(picture(view, edit)))).hexdigest()


def settled(page: "Page") -> Edit:
    """The edit that the address bar says, once it says what the sliders do."""
    page.wait_for_timeout(400)
    return Edit.from_query(page.url)


def wait_until(page: "Page", condition: Callable[[], bool], what: str) -> None:
    for _ in range(PATIENCE // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"waited in vain for {what}")


def press(page: "Page", slider: str, key: str, times: int) -> None:
    page.locator(slider).first.focus()
    for _ in range(times):
        page.keyboard.press(key)


def go(page: "Page", tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def fits(page: "Page") -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
