"""The page: controls on one side, the picture that follows them on the other."""

import os
import random
from collections.abc import Sequence
from typing import Any

import gradio as gr

from disentangle.apps.studio import Key, Studio, View, render, scores
from disentangle.apps.traverse import markup
from disentangle.errors import UserError

FIRST, MOST = 12, 48
SEEDS = 2**31 - 1
SLIDER = "direction-"
METHODS = [
    ("as trained", "auto"),
    ("subspaces", "subspace"),
    ("weights (SeFa)", "weights"),
    ("coordinate", "coordinate"),
    ("random", "random"),
]
HEADING = '<div class="heading"><h1>Disentangle</h1><span>one slider a direction, the most active first</span></div>'


def theme() -> Any:
    """Quiet colours, and the fonts that come with Gradio: nothing is fetched from elsewhere."""
    font = [
        gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)),
        gr.themes.Font("system-ui"),
        gr.themes.Font("sans-serif"),
    ]
    mono = [gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), gr.themes.Font("monospace")]
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=font, font_mono=mono, spacing_size="sm", radius_size="md"
    )


def build(studio: Studio) -> gr.Blocks:
    """The page. It holds nothing of its visitors: each browser tab carries its own key, seed and sliders."""
    names = studio.names()
    with gr.Blocks(title="Disentangle", analytics_enabled=False, fill_width=True) as page:
        key, last = gr.State(None), gr.State(None)
        gr.HTML(HEADING)
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=340):
                stage, strip = gr.HTML(elem_id="stage"), gr.HTML(elem_id="strip")
                with gr.Row(elem_id="start"):
                    seed = gr.Number(
                        0, label="Seed", precision=0, minimum=0, maximum=SEEDS, min_width=100, elem_id="seed"
                    )
                    shuffle = gr.Button("Random", size="md", scale=0, min_width=96, elem_id="shuffle")
                    truncation = gr.Slider(
                        0, 1.5, 1.0, step=0.05, label="Truncation", scale=3, min_width=170, elem_id="truncation"
                    )
            with gr.Column(scale=6, min_width=340):
                with gr.Row():
                    run = gr.Dropdown(names, value=names[0], label="Run", min_width=150, elem_id="run")
                    method = gr.Dropdown(METHODS, value="auto", label="Directions", min_width=150, elem_id="method")
                facts = gr.HTML(elem_id="facts")
                with gr.Column(elem_classes="sliders"):
                    sliders = [_slider(i) for i in range(FIRST)]
                reset = gr.Button("Reset the sliders", size="md", elem_id="reset")
                with gr.Accordion(
                    "More directions", open=False, visible=False, elem_id="more", elem_classes="sliders"
                ) as more:
                    sliders += [_slider(i) for i in range(FIRST, MOST)]
                cards = gr.HTML(elem_id="scores")

        def show(view: View, seed: float | None, truncation: float, amounts: Sequence[float], last: int | None) -> Any:
            """What the pictures are when the sliders stand at ``amounts``, and slider ``last`` was moved last."""
            places = _places(view)
            of = {direction: amount for direction, amount in zip(places, amounts) if direction is not None}
            direction = None if last is None else places[last]
            ordered = [of.get(i, 0.0) for i in range(len(view.order))]
            pictures = render(view, int(seed or 0), truncation, ordered, direction)
            if direction is None:
                return markup.stage(pictures), markup.strip(pictures, "", 0.0)
            return markup.stage(pictures), markup.strip(pictures, view.labels[direction], ordered[direction])

        def open_run(name: str, method: str, seed: float | None, truncation: float) -> Any:
            """Open a run: new captions, all sliders at zero."""
            view = _told(studio.open, name, method)
            texts = [markup.facts(view), markup.scores(scores(view.run), f"disentangle evaluate {view.run.path}")]
            drawn = show(view, seed, truncation, (), None)
            return view.key, None, *texts, _more(view), *_captions(view), *drawn

        def load_page(name: str, method: str, seed: float | None, truncation: float) -> Any:
            """What :func:`open_run` does, after a look at which runs there are now."""
            names = _told(studio.names)
            name = name if name in names else names[0]
            return gr.update(choices=names, value=name), *open_run(name, method, seed, truncation)

        def slide(
            event: gr.EventData, key: Key, seed: float | None, truncation: float, *amounts: float
        ) -> tuple[int, str, str]:
            """A slider moved: the picture follows, and the strip shows that slider's direction."""
            last = int(event.target.elem_id.removeprefix(SLIDER))
            return last, *show(_told(studio.get, key), seed, truncation, amounts, last)

        def redraw(key: Key, last: int | None, seed: float | None, truncation: float, *amounts: float) -> Any:
            """Another starting point, the same edit."""
            return show(_told(studio.get, key), seed, truncation, amounts, last)

        def zero(key: Key, seed: float | None, truncation: float) -> Any:
            """All sliders back to the middle."""
            return None, *show(_told(studio.get, key), seed, truncation, (), None), *[0.0] * MOST

        def picture(run: str, seed: int, truncation: float, amounts: list[float], method: str) -> str:
            """The moved picture as a data: address; the amounts are in sigma, the most active direction first."""
            view = _told(studio.open, run, method)
            return markup.source(render(view, seed, truncation, amounts, None).moved)

        base = [seed, truncation]
        opened = [key, last, facts, cards, more, *sliders, stage, strip]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(load_page, [run, method, *base], [run, *opened], **quiet)
        for choice in (run, method):
            choice.input(open_run, [run, method, *base], opened, **quiet)
        # While a picture is being made, all but the newest position of the slider are dropped; and a request past the
        # queue is answered in half the time.
        follow: dict[str, Any] = quiet | {"trigger_mode": "always_last", "queue": False}
        gr.on([slider.input for slider in sliders], slide, [key, *base, *sliders], [last, stage, strip], **follow)
        gr.on([seed.input, truncation.input], redraw, [key, last, *base, *sliders], [stage, strip], **follow)
        shuffle.click(lambda: random.randrange(10**6), None, seed, **quiet).then(
            redraw, [key, last, *base, *sliders], [stage, strip], **quiet
        )
        reset.click(zero, [key, *base], [last, stage, strip, *sliders], **quiet)
        gr.api(picture, api_name="picture")
    page.queue(default_concurrency_limit=os.cpu_count(), api_open=False)
    return page


def _slider(i: int) -> gr.Slider:
    return gr.Slider(-3, 3, 0, step=0.05, label=f"direction {i + 1}", visible=False, elem_id=f"{SLIDER}{i}")


def _places(view: View) -> list[int | None]:
    """For each slider the direction it moves, counted from the most active; the still ones come under "more"."""
    shown = min(view.active, FIRST)
    rest = range(shown, min(len(view.order), shown + MOST - FIRST))
    return [*range(shown), *[None] * (FIRST - shown), *rest, *[None] * (MOST - FIRST - len(rest))]


def _captions(view: View) -> list[Any]:
    """Every slider's caption, at zero, and hidden where it has no direction."""
    return [
        gr.update(value=0.0, visible=False) if i is None else gr.update(label=view.labels[i], value=0.0, visible=True)
        for i in _places(view)
    ]


def _more(view: View) -> Any:
    """The fold with the other sliders."""
    count = sum(place is not None for place in _places(view)[FIRST:])
    still = ", which hardly change the picture" if view.active <= FIRST else ""
    return gr.update(visible=count > 0, label=f"{count} more direction{'s' * (count != 1)}{still}", open=False)


def _told(function: Any, *arguments: Any) -> Any:
    """The function's result; what it has to tell the user appears on the page, not in the terminal."""
    try:
        return function(*arguments)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
