"""The page: controls on one side, the picture that follows them on the other."""

import base64
import dataclasses
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gradio as gr

from disentangle.apps.traverse import markup
from disentangle.apps.traverse.studio import Key, Studio, View, render, scores
from disentangle.directions import METHODS
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil

FIRST = 12
MOST = 48
SEEDS = 2**31 - 1

Result = TypeVar("Result")


def theme() -> Any:
    """Quiet greys and the font that comes with Gradio: nothing is fetched from elsewhere."""
    font = [gr.themes.LocalFont("IBM Plex Sans"), gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.LocalFont("IBM Plex Mono"), gr.themes.Font("monospace")]
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=font, font_mono=mono, spacing_size="sm", radius_size="md"
    )


def build(studio: Studio) -> Any:
    """The page as Gradio's ``Blocks``. Holds no state of its own: each browser tab carries its own key."""
    names = studio.names()
    methods = [(label, name) for name, label in METHOD_LABELS.items() if name in METHODS]
    with gr.Blocks(title="Disentangle", analytics_enabled=False, fill_width=True) as page:
        key = gr.State(None)
        last = gr.State(None)
        gr.HTML('<div class="heading"><h1>Disentangle</h1><span>one slider a direction of the latent space</span></div>')
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=340):
                stage = gr.HTML(elem_id="stage")
                strip = gr.HTML(elem_id="strip")
                with gr.Row(equal_height=True):
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=SEEDS, min_width=110, elem_id="seed")
                    shuffle = gr.Button("Another seed", min_width=110, elem_id="shuffle")
                    truncation = gr.Slider(
                        0, 1.5, 1.0, step=0.05, label="Truncation", min_width=200, scale=2, elem_id="truncation"
                    )
                score_cards = gr.HTML(elem_id="scores")
            with gr.Column(scale=5, min_width=340):
                with gr.Row():
                    run = gr.Dropdown(names, value=names[0], label="Run", min_width=150, elem_id="run")
                    method = gr.Dropdown(methods, value="subspace", label="Directions", min_width=150, elem_id="method")
                facts = gr.HTML(elem_id="facts")
                with gr.Column(elem_classes="sliders"):
                    sliders = [_slider(i) for i in range(FIRST)]
                with gr.Accordion("More directions", open=False, visible=False) as more:
                    with gr.Column(elem_classes="sliders"):
                        sliders += [_slider(i) for i in range(FIRST, MOST)]
                reset = gr.Button("Reset the sliders", elem_id="reset")
