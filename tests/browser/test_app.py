"""The web app in a real browser: what people do with it."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from PIL import Image

from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio
from disentangle.apps.traverse.launch import launch
from tests.browser.acts import SLIDER, expected, go, press, settled, shown, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)>"


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
    page.locator(".d-explore [name=seed]").fill("-5")
    assert settled(page).seed == 0
    page.keyboard.press("Tab")
    assert page.input_value(".d-explore [name=seed]") == "0"
    page.locator(".d-gallery button").nth(5).click()
    page.get_by_role("button", name="More samples").click()
    assert page.locator(".d-gallery button").count() == 24
    page.get_by_role("button", name="Reset").click()
    wait_until(page, lambda: shown(page) == expected(runs, Edit("grey", seed=5)), "the start again")
    assert settled(page).coordinates == ()

    assert page.locator(".d-strip button").count() == 28
    page.select_option(".d-explore [name=directions]", "weights")
    wait_until(page, lambda: page.locator(".d-strip .d-quiet").is_visible(), "an empty strip: other directions")
    assert page.locator(".d-strip button").count() == 0
    assert not page.locator(".d-explore .d-message").is_visible()
    press(page, SLIDER, "ArrowRight", 2)
    wait_until(page, lambda: page.locator(".d-strip button").count() == 28, "four rows")
    page.fill(".d-explore [name=truncation]", "0.5")
    page.select_option(".d-explore [name=run]", "vivid")
    wait_until(page, lambda: page.locator(".d-strip .d-quiet").is_visible(), "an empty strip: another run")
    assert settled(page).truncation == 1


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
    third.wait_for_selector(".d-message:has-text('other weights') code:text-is('weights')")
    third.wait_for_timeout(300)
    assert (
        third.evaluate("[...document.images].filter((image) => image.complete && !image.naturalWidth && image.src)")
        == []
    )
    assert not third.locator(".d-explore .d-desk").is_visible()
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
    page.select_option(".d-explore [name=directions]", "random")
    wait_until(page, lambda: page.locator(".d-strip .d-quiet").is_visible(), "the other directions")
    assert not page.locator(".d-explore .d-message").is_visible()


def test_compare(visit: "Callable[..., Page]", runs: Path, shots: Path) -> None:
    page = visit("?run=grey&directions=subspace")
    shown(page)
    go(page, "Compare")
    sides = [f".d-side:nth-child({i}) .d-moved" for i in (1, 2)]
    page.wait_for_selector(".d-message:has-text('hurt')")  # the next run, which is damaged
    page.select_option(".d-side:nth-child(2) [name=run]", "vivid")
    page.wait_for_selector(".d-side:nth-child(2) .d-facts:has-text('VAE')")
    page.fill(".d-compare [name=seed]", "1e30")
    page.keyboard.press("Tab")
    assert page.input_value(".d-compare [name=seed]") == "0"
    before = [shown(page, within=side) for side in sides]
    press(page, ".d-compare .d-slider input", "ArrowRight", 40)
    wait_until(page, lambda: all(shown(page, within=s) != b for s, b in zip(sides, before)), "both to follow")
    page.wait_for_timeout(300)
    for side, run in zip(sides, ("grey", "vivid")):
        view = Studio(runs).open(run)
        edit = Edit(run, view.name, ((view.order[0], 2.0),))
        assert shown(page, within=side) == expected(runs, edit), run
    page.screenshot(path=shots / "compare.png")
    made = settled(page)
    assert (made.run, [amount for _, amount in made.coordinates]) == ("grey", [2.0])
    again = visit(f"?{urlsplit(page.url).query}")
    wait_until(again, lambda: all(shown(again, within=s) == shown(page, within=s) for s in sides), "both of the link")
    assert again.input_value(".d-compare .d-slider input >> nth=0") == "2"
    again.wait_for_timeout(400)
    assert again.url == page.url
    go(again, "Explore")
    wait_until(again, lambda: "run2" not in again.url, "the link of Explore")
    again.close()
    page.get_by_role("button", name="Open B in Explore").click()
    page.wait_for_selector(".d-explore .d-facts:has-text('VAE')")
    assert settled(page).run == "vivid"


def test_a_slider_moves_both_the_same_way(visit: "Callable[..., Page]", runs: Path) -> None:
    found = Studio(runs).open("grey", "subspace").directions
    replace(found, vectors=-found.vectors).save(runs / "grey" / "directions" / "round")
    page = visit("?run=grey")
    shown(page)
    go(page, "Compare")
    page.wait_for_selector(".d-message:has-text('hurt')")
    page.select_option(".d-side:nth-child(2) [name=run]", "grey")
    page.wait_for_selector(".d-side:nth-child(2) [name=directions] option[value=round]", state="attached")
    page.select_option(".d-side:nth-child(2) [name=directions]", "round")
    page.wait_for_selector(".d-compare .d-turned")
    sides = [f".d-side:nth-child({i}) .d-moved" for i in (1, 2)]
    before = shown(page, within=sides[0])
    press(page, ".d-compare .d-slider input", "ArrowRight", 40)
    wait_until(page, lambda: before != shown(page, within=sides[0]) == shown(page, within=sides[1]), "the same picture")


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
    page.fill(".d-explore [name=truncation]", "0.5")
    assert settled(page).truncation == 0.5
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
    assert (bool(edit.picture), edit.truncation) == (True, 1)
    page.fill(".d-explore [name=truncation]", "0.5")
    page.locator(".d-gallery [data-picture]").first.click()
    edit = settled(page)
    assert (bool(edit.picture), edit.truncation) == (True, 1)
    assert page.input_value(".d-explore [name=truncation]") == "1"
    press(page, SLIDER, "ArrowRight", 20)
    edit = settled(page)
    wait_until(page, lambda: shown(page) == expected(runs, edit), "the moved picture")
    again = visit(f"?{edit.to_query()}")
    wait_until(again, lambda: shown(again) == shown(page), "the link's picture")
