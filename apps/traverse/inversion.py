"""The tab of a visitor's own picture: bring it, have latents found for it, and steer it like any other."""

import html
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from disentangle.apps.edit import Edit
from disentangle.apps.invert import STEPS, default_steps, search, taken
from disentangle.apps.kept import keep_picture, load_picture, pictures
from disentangle.apps.pictures import load_image
from disentangle.apps.studio import Studio, picture
from disentangle.apps.traverse import panel
from disentangle.apps.traverse.api import data_address, told, whole
from disentangle.apps.traverse.work import Shown, Work
from disentangle.directions import Progress
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil

INTRO = (
    '<p class="d-intro">Bring a picture of the kind that the generator was trained on. The latents whose picture is '
    "nearest to it are searched for: by the encoder where there is one, then step by step. What is found is kept with "
    "the run, and stands before the samples of the Explore tab.</p>"
)
MOST_STEPS = 1000
MOST_KEPT = 500
"""Pictures of a run, so that visitors do not fill the disk."""
TO_EXPLORE = """(run, name) => {
  if (!name) return;
  disentangle.explorer?.open({ run, directions: "auto", picture: name, move: new Map() });
  disentangle.go("Explore");
}"""
FOLLOW = "(run) => disentangle.run() || run"
"""A tab that is opened is about the run that Explore shows."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(page: gr.Blocks, tab: gr.Tab, studio: Studio, work: Work) -> None:
    """Add the tab's parts to the page that is being built."""
    gr.HTML(INTRO, apply_default_css=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=280):
            run = gr.Dropdown([], label="Run", elem_id="picture-run", interactive=True)
            given = gr.File(
                label="Picture",
                file_types=["image"],
                type="filepath",
                height=150,
                elem_id="picture-file",
                elem_classes="d-drop",
            )
            steps = gr.Number(
                STEPS,
                label=f"Steps of the search (0: the encoder alone; at most {MOST_STEPS:,})",
                precision=0,
                elem_id="picture-steps",
            )
            with gr.Row():
                start = gr.Button("Invert", variant="primary", elem_id="picture-start")
                cancel = gr.Button("Cancel", elem_id="picture-cancel")
        with gr.Column(scale=6, min_width=280):
            shown = gr.HTML(apply_default_css=False, elem_id="picture-shown")
            steer = gr.Button("Steer it in Explore", visible=False, elem_id="picture-steer")
            name = gr.Textbox(visible=False)

    def invert(run: str | None, path: str | None, steps: float, request: gr.Request) -> Iterator[Shown]:
        begin = partial(_task, studio, run, path, steps)
        yield from work.shown(request, begin, lambda result: _said(studio, str(run), *result))

    page.load(lambda: (choices(studio), missing(studio)), None, [run, shown], **QUIET)
    tab.select(None, run, run, js=FOLLOW, **QUIET)
    run.change(lambda name: default_steps(studio.run(name)) if name else STEPS, run, steps, **QUIET)
    start.click(work.enter, None, shown, queue=False, **QUIET).then(
        invert, [run, given, steps], [shown, steer, name], concurrency_id="work", concurrency_limit=1, **QUIET
    )
    cancel.click(work.forget, None, None, queue=False, **QUIET)
    steer.click(None, [run, name], None, js=TO_EXPLORE, **QUIET)


def choices(studio: Studio) -> Any:
    """The runs there are now, for a dropdown."""
    names = told(studio.names)
    return gr.update(choices=names, value=names[0] if names else None)


def missing(studio: Studio) -> str:
    """What to type where there is no run yet, as HTML."""
    return str(panel.runs(studio)["empty"])


def _task(studio: Studio, run: str | None, path: str | None, steps: float) -> Callable[[Progress], tuple[str, str]]:
    """What is to be done, once all that was given makes sense; it gives the kept picture's name and the steps taken."""
    if not run:
        raise UserError("choose a run first")
    if not path:
        raise UserError("choose a picture first: a PNG, JPEG or WebP file")
    count = whole(steps, "the number of steps")
    if not 0 <= count <= MOST_STEPS:
        raise UserError(f"the search takes 0 to {MOST_STEPS} steps, got {count}")
    file = Path(path)
    if not file.resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise UserError("choose a picture first: one that was uploaded")
    try:
        image = load_image(file.read_bytes())
    except OSError:
        raise UserError("the picture was uploaded too long ago: choose it again") from None
    view = studio.open(run)
    if len(pictures(view.run)) >= MOST_KEPT:
        raise UserError(f"{view.run.path}/pictures holds {MOST_KEPT} pictures: delete some of its files first")

    def task(progress: Progress) -> tuple[str, str]:
        found = search(view.run, view.generator, image, steps=count, weights=view.weights, progress=progress)
        return keep_picture(view.run, found.kept), taken(found, count)

    return task


def _said(studio: Studio, run: str, name: str, steps: str) -> str:
    """The picture, what the generator makes of it, and how far apart the two are."""
    view = studio.open(run)
    kept = load_picture(view.run, name, view.weights)
    made = picture(view, Edit(run, view.name, picture=name))
    figures = "".join(
        f'<figure><img src="{data_address(png_bytes(to_pil(image)))}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for image, caption in ((kept.original, "your picture"), (made, "what the generator makes of it"))
    )
    words = f"They differ by {127.5 * kept.error:.1f} of 255 shades a pixel (root of the mean square), after {steps}."
    return (
        f'<div class="d-work"><div class="d-stage">{figures}</div><span role="status">{words} Kept in '
        f"<code>{html.escape(str(view.run.path))}/pictures</code>.</span></div>"
    )
