"""The page: tabs over the studio. What is quick is a plain address that the page's script asks for; what takes long
goes through Gradio's queue."""

import os
from importlib.resources import files
from typing import Any

import gradio as gr
from jinja2 import Environment, PackageLoader

from disentangle.apps.figure import DARK, LIGHT
from disentangle.apps.page import render_template
from disentangle.apps.studio import Studio
from disentangle.apps.traverse import api, finder, inversion
from disentangle.apps.traverse.blocks import Page
from disentangle.apps.traverse.work import Work

SCRIPTS = ("base.js", "explore.js", "compare.js")
HEADING = (
    '<div class="d-heading"><h1>Disentangle</h1><span>a slider a direction: move one, and see what the generator '
    "learned</span></div>"
)
WAITING = 32
"""Events that wait in Gradio's queue, at most."""


def theme() -> Any:
    """The colours of the reports, and fonts that are there already: nothing is fetched from elsewhere."""
    font = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")]
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=font, font_mono=mono, spacing_size="md", radius_size="md"
    )
    both: dict[str, tuple[str, str]] = {
        "body_background_fill": (LIGHT["paper"], DARK["paper"]),
        "background_fill_primary": (LIGHT["paper"], DARK["paper"]),
        "background_fill_secondary": (LIGHT["paper"], DARK["paper"]),
        "body_text_color": (LIGHT["ink"], DARK["ink"]),
        "body_text_color_subdued": (LIGHT["quiet"], DARK["quiet"]),
        "border_color_primary": (LIGHT["line"], DARK["line"]),
        "block_background_fill": ("#ffffff", "#1b2024"),
        "block_border_color": (LIGHT["line"], DARK["line"]),
        "block_label_text_color": (LIGHT["quiet"], DARK["quiet"]),
        "block_title_text_color": (LIGHT["quiet"], DARK["quiet"]),
        "input_background_fill": ("#ffffff", "#1b2024"),
        "input_border_color": (LIGHT["line"], DARK["line"]),
        "color_accent": (LIGHT["accent"], DARK["accent"]),
        "color_accent_soft": ("#e3efee", "#1d3436"),
        "border_color_accent": (LIGHT["accent"], DARK["accent"]),
        "button_primary_background_fill": (LIGHT["accent"], DARK["accent"]),
        "button_primary_background_fill_hover": (LIGHT["accent"], DARK["accent"]),
        "button_primary_text_color": ("#ffffff", "#0e1517"),
        "button_secondary_background_fill": ("#ffffff", "#1b2024"),
        "button_secondary_background_fill_hover": ("#ffffff", "#1b2024"),
        "button_secondary_border_color": (LIGHT["line"], DARK["line"]),
        "button_secondary_text_color": (LIGHT["ink"], DARK["ink"]),
        "slider_color": (LIGHT["accent"], DARK["accent"]),
    }
    values = {name: light for name, (light, _) in both.items() if name != "color_accent"}
    values |= {f"{name}_dark": dark for name, (_, dark) in both.items() if name != "color_accent"}
    return base.set(**values, color_accent=LIGHT["accent"])


def head() -> str:
    """The page's style and script, in the page itself. The style of the reports goes for the tab of the scores."""
    here = files("disentangle.apps.traverse")
    environment = Environment(loader=PackageLoader("disentangle.apps", "."), autoescape=True)
    report = environment.get_template("page.html.jinja")
    style = "".join(report.blocks["style"](report.new_context()))
    colours = " ".join(
        f"{where} .d-report {{ --card: var(--d-card); --shade: {shade}; --full: {full}; --flip-light: {flip}; "
        "--flip-dark: #000000; --ink: var(--d-ink); --quiet: var(--d-quiet); --line: var(--d-line); "
        "--bar: var(--d-bar); --accent: var(--d-accent); }"
        for where, shade, full, flip in (
            (":root", "#0c6e72", "#000000", "#ffffff"),
            (".dark", "#7fe0da", "#ffffff", "#000000"),
        )
    )
    script = "\n".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS)
    own = (here / "app.css").read_text(encoding="utf-8")
    return f"<style>.d-report {{ {style} }} {colours}\n{own}</style>\n<script>{script}</script>"


def build(studio: Studio, work: Work) -> gr.Blocks:
    """The page. It holds nothing of its visitors: what each has moved is in the address of the page."""
    with Page(title="Disentangle", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as page:
        gr.HTML(HEADING, apply_default_css=False)
        with gr.Tabs():
            for name, template, script in (
                ("Explore", "explore", "explore"),
                ("Compare", "comparison", "compare"),
            ):
                with gr.Tab(name, id=script) as tab:
                    _view(template, script)
                    tab.select(None, None, None, js=f'() => disentangle.opened("{script}")', **inversion.QUIET)
            with gr.Tab("Picture", id="picture") as tab:
                inversion.build(page, tab, studio, work)
            with gr.Tab("Scores", id="scores") as tab:
                _view("board", "scores")
                tab.select(None, None, None, js="() => disentangle.board?.()", **inversion.QUIET)
            with gr.Tab("Discover", id="discover") as tab:
                finder.build(page, tab, studio, work)
        page.load(
            None, None, None, js='() => disentangle.given.has("run2") && disentangle.go("Compare")', **inversion.QUIET
        )
        api.add(studio)
        page.unload(work.forget)
    page.queue(max_size=WAITING, default_concurrency_limit=os.cpu_count(), api_open=False)
    return page


def _view(template: str, script: str) -> None:
    """A part of the page that its own script runs."""
    gr.HTML(
        render_template(f"traverse/{template}.html.jinja"),
        apply_default_css=False,
        js_on_load=f"disentangle.{script}(element)",
    )
