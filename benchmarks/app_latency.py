"""How long a slider takes to change the picture, through a real browser.

    python benchmarks/app_latency.py RUN --moves 200

An input event is sent to a slider; the clock stops when the new picture is decoded and in its place. The app runs in
this very process, on one torch thread, and so shares the cores with the browser, as on a visitor's own machine.
"""

import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from playwright.sync_api import sync_playwright

from disentangle.apps.traverse.launch import launch

MEASURE = """async (moves) => {
  const slider = document.querySelector(".d-explore .d-slider input");
  const image = document.querySelector(".d-explore .d-moved img");
  const times = [];
  for (let i = 0; i < moves; i++) {
    const shown = new Promise((done) => image.addEventListener("shown", done, { once: true }));
    const began = performance.now();
    slider.value = (((i * 37) % 119) - 59) / 20;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await shown;
    times.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 30));
  }
  return times;
}"""


@dataclass(frozen=True)
class Args:
    """Measure the time from a slider's input event to the new picture."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run."""
    moves: int = 200
    """How often the slider moves."""


def main() -> None:
    """Measure, and print median, 95th percentile and worst."""
    args = tyro.cli(Args)
    serving = launch(args.run, 0, block=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(serving.local_url)
        page.wait_for_selector(".d-explore .d-moved img[src^=blob]")
        page.wait_for_timeout(3000)
        page.evaluate(MEASURE, 10)
        times = page.evaluate(MEASURE, args.moves)
        size = page.evaluate("document.querySelector('.d-explore .d-moved img').naturalWidth")
        browser.close()
    serving.close()
    cuts = statistics.quantiles(times, n=20)
    print(  # noqa: T201
        f"{args.run.name}, {size}×{size}, {len(times)} moves: median {statistics.median(times):.0f} ms, "
        f"95th percentile {cuts[18]:.0f} ms, worst {max(times):.0f} ms"
    )


if __name__ == "__main__":
    main()
