"""The web app in a real browser: what people do with it, that nothing comes from elsewhere, and how it looks.

A screenshot of every view is written to the folder that ``DISENTANGLE_SCREENSHOTS`` names, or to a temporary one.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from PIL import Image

from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, picture
from disentangle.apps.traverse.launch import launch
from disentangle.pictures import png_bytes, to_pil
from tests.runs import gan_run, vae_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from disentangle.apps.traverse.server import Serving

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
EVIL = "<img src=x onerror=alert(1)>"
PATIENCE = 60_000


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


SLIDER = ".d-explore .d-slider input"


def test_explore(visit: "Callable[..., Page]", runs: Path, shots: Path) -> None:
    page = visit()
    before = shown(page)
    page.select_option(".d-explore [name=run]", "grey")
    page.wait_for_selector(".d-facts:has-text('GAN')")
    wait_until(page, lambda: shown(page) == expected(runs, Edit("grey")), "the run's first sample")
    assert page.locator(SLIDER).count() == 18
    press(page, SLIDER, "ArrowRight", 30)
    edit = settled(page)
    assert [amount for _, amount in edit.coordinates] == [1.5]
    assert shown(page) == expected(runs, edit) != before
    box = page.locator(SLIDER).nth(1).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for i in range(10):
        page.mouse.move(box["x"] + box["width"] * (0.5 + 0.03 * i), box["y"] + box["height"] / 2)
    page.mouse.up()
    edit = settled(page)
    assert len(edit.coordinates) == 2
    wait_until(page, lambda: shown(page) == expected(runs, edit), "the picture of where the drag ended")
    page.wait_for_selector(".d-cells img")
    assert page.locator(".d-cells img").count() == 7
    page.screenshot(path=shots / "explore.png")

    page.get_by_role("button", name="Grid").click()
    wait_until(page, lambda: page.locator(".d-cells img").count() == 28, "four rows")
    page.screenshot(path=shots / "grid.png")
    page.locator(".d-cells button").nth(7 + 6).click()  # the second start, at +3
    edit = settled(page)
    assert (edit.seed, 3.0 in dict(edit.coordinates).values()) == (1, True)
    page.locator(".d-gallery button").nth(5).click()
    assert settled(page).seed == 5
    page.get_by_role("button", name="More samples").click()
    assert page.locator(".d-gallery button").count() == 24
    page.get_by_role("button", name="Reset").click()
    wait_until(page, lambda: shown(page) == expected(runs, Edit("grey", seed=5)), "the start again")
    assert settled(page).coordinates == ()


def test_a_link_opens_the_same_picture_after_a_restart(
    visit: "Callable[..., Page]", runs: Path, tmp_path: Path
) -> None:
    query = "?run=vivid&directions=subspace&move=0:2.35,3:-4.5&seed=7&truncation=0.8"
    first = visit(query)
    edit = Edit("vivid", "subspace", ((0, 2.35), (3, -4.5)), seed=7, truncation=0.8)
    wait_until(first, lambda: shown(first) == expected(runs, edit), "the link's picture")
    link = first.input_value("[name=link]")
    made = Edit.from_query(link)
    assert made == Edit(edit.run, edit.directions, edit.coordinates, 7, "", 0.8, made.weights)
    assert len(made.weights) == 12
    assert first.locator("[data-place='3'] input").input_value() == "-4.5"
    again = launch(runs, 0, block=False)
    try:
        second = visit(f"?{urlsplit(link).query}", address=again.local_url)
        wait_until(second, lambda: shown(second) == shown(first), "the same bytes")
        second.close()  # it would ask for a server that is gone
    finally:
        again.close()
    third = visit(f"?{re.sub('weights=[0-9a-f]+', 'weights=beef', urlsplit(link).query)}")
    third.wait_for_selector(".d-message:has-text('other weights')")
    third.get_by_role("button", name="Show it all the same").click()
    wait_until(third, lambda: shown(third) == shown(first), "the picture all the same")
    fourth = visit(f"?{urlsplit(link).query}&basis=beef")
    fourth.wait_for_selector(".d-message:has-text('other directions')")
    fourth.get_by_role("button", name="Show it all the same").click()
    wait_until(fourth, lambda: shown(fourth) == shown(first), "the picture all the same")


def test_naming_and_export(visit: "Callable[..., Page]", runs: Path) -> None:
    page = visit("?run=grey&directions=weights&seed=2")
    shown(page)
    press(page, SLIDER, "ArrowLeft", 20)
    edit = settled(page)
    place = edit.coordinates[0][0]
    page.get_by_text("Name this direction").click()
    page.fill(".d-naming [name=name]", EVIL)
    page.fill(".d-naming [name=note]", "to the left")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Keep").press("Enter")
    page.wait_for_selector(".d-kept:has-text('Kept with the run')")
    assert page.locator(f"[data-place='{place}'] b").inner_text() == EVIL
    assert page.locator(".d-along h3").inner_text() == EVIL
    kept = Studio(runs).open("grey", "weights").directions
    assert (kept.names[place], kept.notes[place]) == (EVIL, "to the left")
    assert page.locator(f"[data-place='{place}'] input").input_value() == "-1"
    page.wait_for_selector(".d-cells img")
    page.wait_for_timeout(400)
    for name, magic in (("PNG", b"\x89PNG"), ("Strip", b"\x89PNG"), ("GIF", b"GIF8"), ("MP4", b"ftyp")):
        button = ".d-keep a"
        with page.expect_download() as download:
            page.locator(button, has_text=re.compile(f"^{name}$")).click()
        content = download.value.path().read_bytes()
        assert magic in content[:16], name
        if name == "PNG":
            assert hashlib.sha256(content).hexdigest() == expected(runs, Edit("grey", "weights", edit.coordinates, 2))


def test_compare(visit: "Callable[..., Page]", runs: Path, shots: Path) -> None:
    page = visit("?run=grey&directions=subspace")
    shown(page)
    go(page, "Compare")
    sides = [f".d-side:nth-child({i}) .d-moved" for i in (1, 2)]
    page.wait_for_selector(".d-message:has-text('hurt')")  # the next run, which is damaged
    page.select_option(".d-side:nth-child(2) [name=run]", "vivid")
    page.wait_for_selector(".d-side:nth-child(2) .d-facts:has-text('VAE')")
    before = [shown(page, within=side) for side in sides]
    press(page, ".d-compare .d-slider input", "ArrowRight", 40)
    wait_until(page, lambda: all(shown(page, within=s) != b for s, b in zip(sides, before)), "both to follow")
    page.wait_for_timeout(300)
    for side, run in zip(sides, ("grey", "vivid")):
        view = Studio(runs).open(run)
        edit = Edit(run, view.name, ((view.order[0], 2.0),))
        assert shown(page, within=side) == expected(runs, edit), run
    page.screenshot(path=shots / "compare.png")
    page.get_by_role("button", name="Open B in Explore").click()
    page.wait_for_selector(".d-explore .d-facts:has-text('VAE')")
    assert settled(page).run == "vivid"


def test_scores(visit: "Callable[..., Page]", shots: Path) -> None:
    page = visit("?run=grey")
    shown(page)
    go(page, "Scores")
    wait_until(page, lambda: page.input_value(".d-board [name=run]") == "grey", "the run of Explore")
    page.wait_for_selector(".d-report .chart")
    assert "disentangle evaluate" in page.locator(".d-report").inner_text()
    page.screenshot(path=shots / "scores.png")
    page.select_option(".d-board [name=run]", "vivid")
    page.wait_for_selector(".d-report :text('--conditioning-every')")


def test_discover_and_cancel(visit: "Callable[..., Page]", runs: Path, shots: Path) -> None:
    page = visit("?run=grey")
    shown(page)
    go(page, "Discover")
    page.locator("#discover-name textarea, #discover-name input").first.fill("mine")
    wait_until(page, lambda: page.input_value("#discover-run input") == "grey", "the run")
    page.locator("#discover-count input").fill("4")
    page.locator("#discover-factors input").uncheck()
    page.locator("#discover-start").click()
    page.wait_for_selector("#discover-shown :text('Found 4 directions')")
    page.screenshot(path=shots / "discover.png")
    assert len(Studio(runs).open("grey", "mine").directions) == 4
    page.get_by_role("button", name="Steer by them in Explore").click()
    page.wait_for_selector(".d-facts:has-text('4 directions')")
    assert settled(page).directions == "mine"

    go(page, "Discover")
    page.locator("#discover-name textarea, #discover-name input").first.fill("long")
    page.locator("#discover-method input").click()
    page.get_by_role("option", name="Jacobian").click()
    page.locator("#discover-samples input").fill("2000")
    page.locator("#discover-start").click()
    page.wait_for_selector("#discover-shown [role=progressbar]")
    page.locator("#discover-cancel").click()
    page.wait_for_selector("#discover-shown :text('Cancelled')")
    page.wait_for_timeout(500)
    assert page.locator("#discover-shown").inner_text() == "Cancelled: nothing was kept."
    assert not (runs / "grey" / "directions" / "long").exists()


def test_a_picture_is_brought_inverted_and_steered(
    visit: "Callable[..., Page]", runs: Path, shots: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (50, 40), (200, 60, 20)).save(tmp_path / "mine.png")
    page = visit("?run=vivid")
    shown(page)
    go(page, "Picture")
    wait_until(page, lambda: page.input_value("#picture-run input") == "vivid", "the run of Explore")
    page.locator("#picture-file input[type=file]").set_input_files(tmp_path / "mine.png")
    page.wait_for_selector("#picture-file :text('mine')")
    page.locator("#picture-steps input[type=number]").fill("3")
    page.locator("#picture-steps input[type=number]").press("Tab")
    page.locator("#picture-start").click()
    page.wait_for_selector("#picture-shown :text('They differ by')")
    page.locator("#picture-steps input[type=number]").fill("900")
    page.locator("#picture-start").click()
    page.wait_for_selector("#picture-shown [role=progressbar]")
    page.locator("#picture-cancel").click()
    page.wait_for_selector("#picture-shown :text('Cancelled')")
    page.locator("#picture-steps input[type=number]").fill("4")
    page.locator("#picture-start").click()
    page.wait_for_selector("#picture-shown :text('They differ by')")
    page.screenshot(path=shots / "picture.png")
    page.get_by_role("button", name="Steer it in Explore").click()
    page.wait_for_selector(".d-photo:visible img")
    edit = settled(page)
    assert edit.picture
    press(page, SLIDER, "ArrowRight", 20)
    edit = settled(page)
    wait_until(page, lambda: shown(page) == expected(runs, edit), "the moved picture")
    again = visit(f"?{edit.to_query()}")
    wait_until(again, lambda: shown(again) == shown(page), "the link's picture")


def test_a_damaged_or_missing_run_is_named_and_the_page_goes_on(visit: "Callable[..., Page]") -> None:
    page = visit("?run=grey")
    before = shown(page)
    page.select_option(".d-explore [name=run]", "hurt")
    page.wait_for_selector(".d-message:has-text('hurt')")
    assert page.input_value(".d-explore [name=run]") == "grey"
    assert shown(page) == before
    odd = visit("?run=grey&directions=subspace&move=99:1,0:50,1:nan,2:1&seed=9007199254740993&truncation=9")
    odd.wait_for_selector(
        ".d-message:has-text('Left out: move=1:nan, truncation=9, seed=9007199254740993, move=99:1, move=0:50')"
    )
    assert settled(odd).coordinates == ((2, 1.0),)
    gone = visit("?run=gone")
    gone.wait_for_selector(".d-message:has-text('no run gone')")
    gone.select_option(".d-explore [name=run]", "vivid")
    shown(gone)


def test_no_runs_say_what_to_type(visit: "Callable[..., Page]", tmp_path: Path, shots: Path) -> None:
    empty = launch(tmp_path / "nothing", 0, block=False)
    try:
        page = visit(address=empty.local_url)
        page.wait_for_selector(".d-empty :text('disentangle train scenes-beta-tcvae')")
        page.screenshot(path=shots / "empty.png")
        assert not page.locator(".d-explore [name=run]").is_visible()
        for tab in ("Compare", "Picture", "Scores", "Discover"):
            go(page, tab)
            page.wait_for_selector(".d-empty:visible :text('disentangle train scenes-beta-tcvae')")
        page.locator("#discover-start").click()
        page.wait_for_selector("#discover-shown :text('choose a run first')")
    finally:
        empty.close()


def test_two_sessions_share_nothing(visit: "Callable[..., Page]") -> None:
    one, two = visit("?run=grey"), visit("?run=grey")
    before = shown(one)
    assert shown(two) == before
    press(one, SLIDER, "ArrowRight", 25)
    wait_until(one, lambda: shown(one) != before, "the first to move")
    two.wait_for_timeout(300)
    assert shown(two) == before


@pytest.mark.parametrize(
    ("name", "size", "dark"), [("phone", PHONE, False), ("phone-dark", PHONE, True), ("dark", DESKTOP, True)]
)
def test_it_fits_in_light_and_dark(
    visit: "Callable[..., Page]", shots: Path, name: str, size: dict[str, int], dark: bool
) -> None:
    page = visit("?run=grey&directions=subspace&seed=3", dark=dark, size=size)
    shown(page)
    press(page, SLIDER, "ArrowRight", 20)
    page.wait_for_selector(".d-cells img")
    page.wait_for_timeout(300)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", background)[0])
    assert (red < 60) == dark
    if size is PHONE:
        page.locator(SLIDER).nth(8).scroll_into_view_if_needed()
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(200)
        assert page.evaluate("window.scrollY") > 100
        top = page.evaluate("document.querySelector('.d-explore .d-moved').getBoundingClientRect().top")
        assert 0 <= top < 80, "the picture stays in sight"
    page.screenshot(path=shots / f"{name}-explore.png")
    for tab in ("Compare", "Picture", "Scores", "Discover"):
        page.evaluate("window.scrollTo(0, 0)")
        go(page, tab)
        page.wait_for_timeout(500)
        assert fits(page), f"{tab} scrolls sideways"
        page.screenshot(path=shots / f"{name}-{tab.lower()}.png")


def test_the_keyboard_reaches_everything(visit: "Callable[..., Page]") -> None:
    page = visit("?run=grey&directions=subspace")
    shown(page)
    page.locator(".d-explore [name=run]").focus()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.name || document.activeElement.type || document.activeElement.tagName"
            )
        )
    for wanted in ("directions", "reset", "more", "seed", "truncation", "range", "SUMMARY", "strip", "grid"):
        assert wanted in seen, wanted
    unnamed = page.evaluate(
        "[...document.querySelectorAll('.d-app img')].filter((image) => image.src && !image.alt).length"
    )
    assert unnamed == 0
    for name in ("Truncation", "Link to this picture", "Seed"):
        assert page.locator(".d-explore").get_by_label(name, exact=True).is_visible(), name
    chosen = page.locator(".d-gallery button")
    assert page.locator(".d-gallery button[tabindex='0']").count() == 1, "one stop for all samples"
    chosen.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert settled(page).seed == 1


def test_a_dragged_slider_queues_no_stale_work(visit: "Callable[..., Page]", runs: Path) -> None:
    page = visit("?run=grey&directions=subspace")
    shown(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "picture.png?" in request.url else None)
    moves = """async () => {
      const slider = document.querySelector(".d-explore .d-slider input");
      for (let i = 1; i <= 50; i++) {
        slider.value = i * 0.05; slider.dispatchEvent(new Event("input", { bubbles: true }));
        if (i % 10 === 0) await new Promise((done) => setTimeout(done, 5));
      }
    }"""
    page.evaluate(moves)
    edit = settled(page)
    wait_until(page, lambda: shown(page) == expected(runs, edit), "the last position")
    assert edit.coordinates[0][1] == 2.5
    assert len(asked) < 20, "positions passed over are not asked for"


def test_it_ends_in_silence_while_a_page_is_open(
    browser: "Browser", runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    serving = launch(runs, 0, block=False)
    page = browser.new_page()
    try:
        page.goto(f"{serving.local_url}?run=grey")
        shown(page)
        page.wait_for_timeout(500)
        serving.close()
        assert not serving.thread.is_alive()
    finally:
        page.close()
        serving.close()
    assert "ERROR" not in capfd.readouterr().err  # uvicorn's, of connections that do not end
