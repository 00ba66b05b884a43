"""The web app in a real browser: a slider moves, the picture follows, and nothing is fetched from elsewhere."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from disentangle.apps.traverse.launch import launch
from tests.runs import gan_run, vae_run

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,943",
    # No name resolves: what the page needs from elsewhere it does not get.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained runs, the first with scores, and one that is damaged."""
    runs = tmp_path_factory.mktemp("runs")
    gan_run(runs / "grey")
    scores = [{"name": "MIG", "variant": "20 bins", "value": 0.375, "baselines": {"rotated": 0.04}}]
    (runs / "grey" / "report.json").write_text(json.dumps({"version": 1, "scores": scores}))
    vae_run(runs / "vivid")
    next(gan_run(runs / "hurt").path.glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    return runs


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """Where the app is."""
    page = launch(runs, 0, block=False)
    yield page.local_url
    page.close(verbose=False)


@pytest.fixture(scope="module")
def chrome(require: Callable[[object, str], None], tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    """A browser with a fresh profile."""
    require(CHROMIUM and DRIVER, "chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    require(importlib.util.find_spec("selenium"), "selenium is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chrome: "Chrome", address: str) -> "Chrome":
    """The browser on a page just loaded, with the first picture there."""
    chrome.get(address)
    wait(chrome, lambda: sliders(chrome) and source(chrome, "moved"), "the first picture")
    return chrome


def wait(browser: "Chrome", condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once it is true; the page may replace its elements meanwhile."""
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    ignored = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, PATIENCE, 0.05, ignored).until(lambda _: condition(), f"waited in vain for {what}")


def sliders(browser: "Chrome") -> "list[WebElement]":
    found = browser.find_elements("css selector", "[id^=direction-] input[type=range]")
    return [slider for slider in found if slider.is_displayed()]


def source(browser: "Chrome", name: str) -> str:
    return str(browser.find_element("id", name).get_attribute("src"))


def press(slider: "WebElement", key: str, times: int = 1) -> None:
    slider.send_keys(key * times)


def pixels(browser: "Chrome", name: str) -> list[int]:
    """The picture as the browser decoded it, RGBA."""
    script = """
        const image = document.getElementById(arguments[0]), canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
        return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
    """
    return list(browser.execute_script(script, name))


def test_a_slider_moves_the_picture_and_reset_brings_it_back(browser: "Chrome") -> None:
    from selenium.webdriver import Keys

    before, first = source(browser, "moved"), pixels(browser, "moved")
    assert len(first) == 32 * 32 * 4
    assert first == pixels(browser, "original")
    slider = sliders(browser)[0]
    press(slider, Keys.ARROW_RIGHT, 30)
    wait(browser, lambda: "+2 σ" in marked(browser) or "+1 σ" in marked(browser), "the strip to follow")
    after = pixels(browser, "moved")
    assert max(abs(a - b) for a, b in zip(first, after)) > 5
    assert pixels(browser, "original") == first
    assert browser.find_element("css selector", ".strip .name").text == caption(browser, 0)

    browser.find_element("id", "reset").click()
    wait(browser, lambda: source(browser, "moved") == before, "the first picture")
    assert pixels(browser, "moved") == first
    wait(browser, lambda: {slider.get_attribute("value") for slider in sliders(browser)} == {"0"}, "zeros")


def test_dragging_with_the_mouse(browser: "Chrome") -> None:
    from selenium.webdriver import ActionChains

    before = source(browser, "moved")
    slider = sliders(browser)[1]
    ActionChains(browser).click_and_hold(slider).move_by_offset(40, 0).perform()
    wait(browser, lambda: source(browser, "moved") != before, "the picture to change while the button is down")
    ActionChains(browser).move_by_offset(40, 0).release().perform()
    assert float(slider.get_attribute("value") or 0) > 0.5


def test_seed_run_and_method(browser: "Chrome") -> None:
    from selenium.webdriver import Keys

    before = source(browser, "moved")
    browser.find_element("id", "shuffle").click()
    wait(browser, lambda: source(browser, "moved") != before, "another seed")
    assert source(browser, "moved") == source(browser, "original")
    assert "0.375" in browser.find_element("id", "scores").text
    assert len(sliders(browser)) + folded(browser) == 18
    assert len(sliders(browser)) <= 12
    browser.find_element("css selector", "#more button").click()
    wait(browser, lambda: len(sliders(browser)) == 18, "all sliders")
    last, still = sliders(browser)[-1], source(browser, "moved")
    press(last, Keys.END)
    wait(browser, lambda: source(browser, "moved") != still, "the last slider's picture")

    choose(browser, "method", "weights")
    wait(browser, lambda: "found just now" in browser.find_element("id", "facts").text, "the other method")
    choose(browser, "run", "vivid")
    wait(browser, lambda: "VAE" in browser.find_element("id", "facts").text, "the other run")
    wait(browser, lambda: len(sliders(browser)) + folded(browser) == 6, "its sliders")
    assert "disentangle evaluate" in browser.find_element("id", "scores").text
    colours = pixels(browser, "moved")
    assert any(max(colours[i : i + 3]) - min(colours[i : i + 3]) > 5 for i in range(0, len(colours), 4))


def test_two_tabs_share_nothing(browser: "Chrome", address: str) -> None:
    from selenium.webdriver import Keys

    first, before = browser.current_window_handle, source(browser, "moved")
    browser.switch_to.new_window("tab")
    browser.get(address)
    wait(browser, lambda: sliders(browser) and source(browser, "moved") == before, "the same first picture")
    press(sliders(browser)[2], Keys.END)
    wait(browser, lambda: source(browser, "moved") != before, "the second tab's picture")
    browser.switch_to.window(first)
    assert source(browser, "moved") == before
    press(sliders(browser)[0], Keys.END)
    wait(browser, lambda: source(browser, "moved") != before, "the first tab's picture")
    assert browser.find_element("css selector", ".strip .name").text == caption(browser, 0)
    browser.switch_to.window(next(handle for handle in browser.window_handles if handle != first))
    browser.close()
    browser.switch_to.window(first)


def test_a_damaged_run_is_named_and_the_page_goes_on(browser: "Chrome") -> None:
    before = source(browser, "moved")
    choose(browser, "run", "hurt")
    wait(browser, lambda: "hurt" in browser.find_element("css selector", ".toast-wrap").text, "the message")
    assert source(browser, "moved") == before


def test_nothing_comes_from_elsewhere_and_nothing_is_missing(browser: "Chrome", address: str) -> None:
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = {entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"}
    elsewhere = {url for url in asked if not url.startswith((address, "data:", "blob:", "chrome:", "chrome-"))}
    assert elsewhere == set()
    failed = [
        entry["params"]["response"]["url"]
        for entry in entries
        if entry["method"] == "Network.responseReceived" and entry["params"]["response"]["status"] >= 400
    ]
    assert failed == []


def test_the_picture_stays_in_sight_on_a_phone(browser: "Chrome") -> None:
    browser.set_window_size(500, 700)
    browser.execute_script("document.querySelector('#reset').scrollIntoView({block: 'end'})")
    wait(browser, lambda: browser.execute_script("return window.scrollY") > 100, "the page to scroll")
    top = browser.execute_script("return document.getElementById('moved').getBoundingClientRect().top")
    browser.set_window_size(1280, 943)
    assert 0 <= top < 60


def test_it_fits_a_laptop_and_a_phone(browser: "Chrome") -> None:
    for width, height in ((1280, 943), (500, 900)):  # a window of headless Chromium is at least 500 pixels wide
        browser.set_window_size(width, height)
        overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"the page scrolls sideways at {width} pixels"
        assert browser.find_element("id", "moved").size["width"] >= 250


def test_pictures_for_programs(address: str) -> None:
    from gradio_client import Client

    client = Client(address, verbose=False)
    plain, same, moved = (
        client.predict("grey", 3, 1.0, amounts, "subspace", api_name="/picture") for amounts in ([], [0.0], [3.0])
    )
    assert plain == same != moved
    assert plain.startswith("data:image/png;base64,")


def marked(browser: "Chrome") -> str:
    return str(browser.find_element("css selector", ".strip .here figcaption").text)


def folded(browser: "Chrome") -> int:
    """How many sliders are folded away, by what the page says."""
    folds = [fold.text for fold in browser.find_elements("css selector", "#more button") if fold.is_displayed()]
    return int(folds[0].split()[0]) if folds else 0


def caption(browser: "Chrome", i: int) -> str:
    return str(browser.find_element("css selector", f"#direction-{i} label").text)


def choose(browser: "Chrome", dropdown: str, text: str) -> None:
    """Pick the option that starts with ``text``; the page may still be filling the list when it opens."""

    def pick() -> bool:
        options = browser.find_elements("css selector", "[role=option]")
        wanted = [option for option in options if str(option.text).strip("✓ \n").startswith(text)]
        if wanted:
            wanted[0].click()
        return bool(wanted)

    browser.find_element("css selector", f"#{dropdown} input").click()
    wait(browser, pick, f"the option {text!r}")
