"""The tab of discovery: choose a method, watch it work, and steer by what it found."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr

from disentangle.apps.directions.places import check_folder
from disentangle.apps.discover import check_place, earlier, find, keep
from disentangle.apps.edit import LARGEST_SEED
from disentangle.apps.studio import Studio, View
from disentangle.apps.traverse.api import told, whole
from disentangle.apps.traverse.inversion import FOLLOW, QUIET, choices, missing
from disentangle.apps.traverse.panel import said
from disentangle.apps.traverse.work import Shown, Work, words
from disentangle.directions import METHODS, Progress, option_names
from disentangle.errors import UserError

INTRO = (
    '<p class="d-intro">Directions are found in the weights, in what the layers compute, or in how pictures change. '
    "What is found is measured and kept with the run, and can be chosen in the Explore tab at once.</p>"
)
MOST_DIRECTIONS, MOST_SAMPLES = 512, 2000
"""Activations of many samples fill the memory: more of them are for the command line."""
TO_EXPLORE = """(run, name) => {
  if (!name) return;
  disentangle.explorer?.open({ run, directions: name, move: new Map() });
  disentangle.go("Explore");
}"""


def build(page: gr.Blocks, tab: gr.Tab, studio: Studio, work: Work) -> None:
    """Add the tab's parts to the page that is being built."""
    gr.HTML(INTRO, apply_default_css=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=280):
            run = gr.Dropdown([], label="Run", elem_id="discover-run", interactive=True)
            methods = [(said(name), name) for name in METHODS]
            method = gr.Dropdown(methods, value="weights", label="Method", elem_id="discover-method")
            layers = gr.Dropdown([], label="Layers (none chosen: all)", multiselect=True, elem_id="discover-layers")
            with gr.Row():
                count = gr.Number(0, label="How many (0: all)", precision=0, elem_id="discover-count", min_width=110)
                samples = gr.Number(
                    0, label="Samples (0: usual)", precision=0, elem_id="discover-samples", min_width=110
                )
                seed = gr.Number(0, label="Seed", precision=0, elem_id="discover-seed", min_width=90)
            name = gr.Textbox("", label="Keep as (empty: the method's name)", max_length=60, elem_id="discover-name")
            factors = gr.Checkbox(
                True,
                label="Measure which known factors they move (the first time some minutes)",
                elem_id="discover-factors",
            )
            with gr.Row():
                start = gr.Button("Discover", variant="primary", elem_id="discover-start")
                cancel = gr.Button("Cancel", elem_id="discover-cancel")
        with gr.Column(scale=6, min_width=280):
            shown = gr.HTML(apply_default_css=False, elem_id="discover-shown")
            steer = gr.Button("Steer by them in Explore", visible=False, elem_id="discover-steer")
            found = gr.Textbox(visible=False)

    def discover(
        run: str | None,
        method: str,
        layers: list[str],
        count: float | None,
        samples: float | None,
        seed: float | None,
        name: str,
        factors: bool,
        request: gr.Request,
    ) -> Iterator[Shown]:
        begin = partial(_task, studio, run, method, layers, count, samples, seed, name, factors)
        yield from work.shown(request, begin, lambda result: words(result[1]))

    page.load(lambda: (choices(studio), missing(studio)), None, [run, shown], **QUIET)
    tab.select(None, run, run, js=FOLLOW, **QUIET)
    run.change(lambda name: _layers(studio, name), run, layers, **QUIET)
    given = [run, method, layers, count, samples, seed, name, factors]
    start.click(work.enter, None, shown, queue=False, **QUIET).then(
        discover, given, [shown, steer, found], concurrency_id="work", concurrency_limit=1, **QUIET
    )
    cancel.click(work.forget, None, None, queue=False, **QUIET)
    steer.click(None, [run, found], None, js=TO_EXPLORE, **QUIET)


def _layers(studio: Studio, name: str | None) -> Any:
    """The run's layers, for the dropdown."""
    if not name:
        return gr.update(choices=[], value=[])
    view: View = told(lambda: studio.open(name))
    return gr.update(choices=[projection.name for projection in view.generator.projections()], value=[])


def _task(
    studio: Studio,
    run: str | None,
    method: str,
    layers: list[str],
    count: float | None,
    samples: float | None,
    seed: float | None,
    name: str,
    factors: bool,
) -> Callable[[Progress], tuple[str, str]]:
    """What is to be done, once all that was given makes sense; it gives the directions' name and a sentence."""
    if not run:
        raise UserError("choose a run first")
    wanted = _within(count, "the number of directions", 1, MOST_DIRECTIONS) if count else None
    options: dict[str, Any] = {}
    if samples and "samples" in option_names(method):
        options["samples"] = _within(samples, "the number of samples", 2, MOST_SAMPLES)
    start = _within(seed or 0, "the seed", 0, LARGEST_SEED)
    kept = name.strip() or method
    check_folder(kept)
    view = studio.open(run)
    folder = view.run.path / "directions" / kept
    check_place(folder)
    earlier(view.run, kept, method)  # which refuses what must not be replaced

    def task(progress: Progress) -> tuple[str, str]:
        found = find(
            view.run,
            view.generator,
            method,
            count=wanted,
            layers=layers or None,
            seed=start,
            options=options,
            factors=factors,
            weights=view.weights,
            progress=lambda share, text: progress(0.99 * share, text),
        )
        progress(0.99, "keeping them")
        found = keep(view.run, kept, method, found, {})
        still = int(found.still.sum())
        idle = f", {still} of which hardly change the picture" if still else ""
        return kept, f"Found {len(found)} directions{idle}; kept in `{folder}`."

    return task


def _within(value: float, what: str, least: int, most: int) -> int:
    given = whole(value, what)
    if not least <= given <= most:
        raise UserError(f"{what} must lie between {least:,} and {most:,}, got {given:,}")
    return given
