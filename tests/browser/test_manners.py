"""The web app in a real browser: how it looks, and what it says and does when things go wrong."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disentangle.apps.traverse.launch import launch
from tests.browser.acts import DESKTOP, PHONE, SLIDER, expected, fits, go, press, settled, shown, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


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
        page.close()  # it would ask for a server that is gone
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
        assert serving.ended.is_set()
    finally:
        page.close()
        serving.close()
    assert "ERROR" not in capfd.readouterr().err  # uvicorn's, of connections that do not end
