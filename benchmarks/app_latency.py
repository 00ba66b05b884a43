"""How long a slider takes to change the picture, through a real browser.

    python benchmarks/app_latency.py RUN
    python benchmarks/app_latency.py --size 64

An input event is sent to a slider; the clock stops when the picture that it asks for is decoded and in its place. Three
ways to move it: one move after another, each as soon as the last picture is there; with rests between the moves, in
which the page has a strip of seven pictures drawn, which the next move has to overtake; and dragged, 60 events a second
whether or not pictures keep up, of which those count whose picture was shown. The app runs in this very process, on one
torch thread, and so shares the cores with the browser, as on a visitor's own machine. Without a run, the generator is
an untrained one of the recipe sprites-eigengan-nog.
"""

import shutil
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from playwright.sync_api import sync_playwright

from disentangle.apps.traverse.launch import launch
from disentangle.models import EigenGAN
from disentangle.training import checkpoint
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run

MOVE = """async ({ moves, pause, wait }) => {
  const slider = document.querySelector(".d-explore .d-slider input");
  const image = document.querySelector(".d-explore .d-moved img");
  const began = new Map(), times = [];
  let note = () => {};
  const shown = (event) => {
    if (began.has(event.detail)) times.push(performance.now() - began.get(event.detail));
    note();
  };
  image.addEventListener("shown", shown);
  for (let i = 0; i < moves; i++) {
    const next = new Promise((done, fail) => {
      note = done;
      setTimeout(() => fail(new Error("no picture in 20 s")), 20000);
    });
    slider.value = (((i * 37) % 119) - 59) / 20;
    const now = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    began.set(disentangle.explorer.address("picture.png"), now);
    if (wait || i === moves - 1) await next;
    await new Promise((done) => setTimeout(done, pause));
  }
  image.removeEventListener("shown", shown);
  return times;
}"""
WAYS = {
    "one after another": {"pause": 30, "wait": True},
    "with rests": {"pause": 300, "wait": True},
    "dragged": {"pause": 16, "wait": False},
}


@dataclass(frozen=True)
class Args:
    """Measure the time from a slider's input event to the new picture."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """A run."""
    size: int = 64
    """Pixels of a side of the untrained generator, where no run is named."""
    moves: int = 200
    """How often the slider moves, each way."""


def untrained(path: Path, size: int) -> Path:
    """A run of a new generator, with a subspace layer a resolution."""
    recipe = RECIPES["sprites-eigengan-nog"]
    run = Run.draft(path, "untrained", replace(recipe, data=replace(recipe.data, size=size)))
    run.create()
    model = EigenGAN(size=size, channels=1)
    checkpoint.save(run, 1, {"generator": model, "ema": model}, {})
    return path


def main() -> None:
    """Measure, and print median, 95th percentile and worst of each way."""
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = args.run or untrained(Path(folder) / "untrained", args.size)
        serving = launch(run, 0, block=False)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(serving.local_url)
        page.wait_for_selector(".d-explore .d-moved img[src^=blob]")
        page.wait_for_timeout(3000)
        size = page.evaluate("document.querySelector('.d-explore .d-moved img').naturalWidth")
        for name, way in WAYS.items():
            page.evaluate(MOVE, {"moves": 10, **way})
            times = page.evaluate(MOVE, {"moves": args.moves, **way})
            times.sort()
            print(  # noqa: T201
                f"{run.name}, {size}×{size}, {name}: {args.moves} moves, {len(times)} pictures, median "
                f"{statistics.median(times):.0f} ms, 95th percentile {times[int(0.95 * len(times))]:.0f} ms, worst "
                f"{times[-1]:.0f} ms"
            )
            page.wait_for_timeout(1000)
        browser.close()
        serving.close()


if __name__ == "__main__":
    main()
