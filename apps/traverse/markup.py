"""The parts of the page that Gradio has no component for, as HTML, and the page's style."""

import base64
import html
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from disentangle.apps.studio import POSITIONS, Pictures, View
from disentangle.pictures import png_bytes, to_pil


def source(image: Tensor) -> str:
    """The picture as the address of an ``<img>``: nothing is written to disk and nothing fetched later."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(to_pil(image))).decode()


def stage(pictures: Pictures) -> str:
    """The moved picture, large, and the original beside it."""
    return (
        '<div class="stage">'
        f'<figure class="moved">{_image(pictures.moved, "the moved picture", "moved")}</figure>'
        f'<figure class="original">{_image(pictures.original, "the picture before it was moved", "original")}'
        "<figcaption>original</figcaption></figure></div>"
    )


def strip(pictures: Pictures, label: str, amount: float) -> str:
    """The direction moved last, from end to end, with the slider's place marked."""
    if len(pictures.strip) == 0:
        return '<div class="strip empty">Move a slider: its whole range appears here.</div>'
    here = min(range(len(POSITIONS)), key=lambda i: abs(POSITIONS[i] - amount))
    cells = "".join(
        f'<figure class="{"here" if i == here else ""}">{_image(image, f"{label} at {position:+g} sigma")}'
        f"<figcaption>{_sigmas(position)}</figcaption></figure>"
        for i, (position, image) in enumerate(zip(POSITIONS, pictures.strip))
    )
    return f'<div class="strip"><div class="name">{html.escape(label)}</div><div class="cells">{cells}</div></div>'


def facts(view: View) -> str:
    """What the run is: recipe, kind, step; and where its directions come from."""
    recipe = str(view.run.config.get("name", view.run.name))
    kind = {"gan": "GAN", "vae": "VAE"}.get(view.run.kind, view.run.kind)
    line = f"<b>{html.escape(recipe)}</b> · {kind} · step {view.step:,} · {len(view.directions)} directions"
    note = f'<div class="note">{_code(view.note)}</div>' if view.note else ""
    return f'<div class="facts">{line}{note}</div>'


def scores(found: Sequence[dict[str, Any]], command: str) -> str:
    """The run's scores, or how to get them."""
    if not found:
        return f'<div class="scores none">Not scored yet: <code>{html.escape(command)}</code></div>'
    return f'<div class="scores">{"".join(_score(score) for score in found)}</div>'


def _score(score: dict[str, Any]) -> str:
    baselines = score.get("baselines")
    beside = [
        f"{html.escape(str(name))} {_number(value)}"
        for name, value in (baselines.items() if isinstance(baselines, dict) else ())
        if isinstance(value, int | float)
    ]
    variant = html.escape(str(score.get("variant") or ""))
    return (
        f'<div class="score" title="{variant}"><span>{html.escape(score["name"])}</span>'
        f"<b>{_number(score['value'])}</b><small>{' · '.join(beside)}</small></div>"
    )


def _sigmas(position: float) -> str:
    sign = "−" if position < 0 else "+"
    return f"{sign}{abs(position):g} σ" if position else "0"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _image(image: Tensor, alternative: str, identity: str = "") -> str:
    name = f' id="{identity}"' if identity else ""
    # decoding="sync": the browser otherwise shows an empty frame between two pictures.
    return f'<img{name} src="{source(image)}" alt="{html.escape(alternative)}" decoding="sync" draggable="false">'


def _code(text: str) -> str:
    """Escaped text, `…` as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


TRACK = """linear-gradient(to right, var(--border-color-primary) min(50%, var(--range_progress)),
  var(--slider-color) min(50%, var(--range_progress)), var(--slider-color) max(50%, var(--range_progress)),
  var(--border-color-primary) max(50%, var(--range_progress)))"""
"""A slider's track that is filled from the middle, where zero is, to the thumb."""

CSS = f"""
.gradio-container {{ overflow: clip !important; }}
.gradio-container .main.app.app {{ max-width: 1240px; padding: 14px 20px 24px; }}
.heading {{ display: flex; align-items: baseline; gap: 0 14px; flex-wrap: wrap; }}
.heading h1 {{ font-size: 21px; font-weight: 700; margin: 0; }}
.heading span {{ color: var(--body-text-color-subdued); font-size: 14px; }}

.stage {{ display: flex; gap: 16px; align-items: flex-end; }}
.stage figure, .strip figure {{ margin: 0; }}
.stage img, .strip img {{ display: block; width: 100%; image-rendering: pixelated; border-radius: 6px; }}
.stage .moved {{ flex: 0 1 384px; min-width: 0; }}
.stage .original {{ flex: 0 1 150px; min-width: 72px; display: flex; flex-direction: column-reverse; gap: 5px; }}
.stage figcaption, .strip figcaption {{ font-size: 12px; text-align: center; color: var(--body-text-color-subdued); }}

.strip {{ min-height: 118px; }}
.strip.empty {{ color: var(--body-text-color-subdued); font-size: 14px; display: flex; align-items: center; }}
.strip .name {{ font-size: 13px; font-weight: 700; padding-bottom: 6px; }}
.strip .cells {{ display: grid; grid-template-columns: repeat(7, minmax(0, 73px)); gap: 6px; }}
.strip figcaption {{ padding-top: 3px; }}
.strip .here img {{ outline: 2px solid var(--color-accent); outline-offset: 1px; }}
.strip .here figcaption {{ color: var(--color-accent); font-weight: 700; }}

#start {{ align-items: center; }}
#stage, #strip, #facts, #scores {{ padding: 0 1px; }}
#truncation input::-webkit-slider-runnable-track {{ background: linear-gradient(to right,
  var(--slider-color) var(--range_progress), var(--border-color-primary) var(--range_progress)) !important; }}
.sliders .form {{ background: var(--block-background-fill) !important; display: grid;
  grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }}
.sliders .block {{ padding: 7px 12px 9px !important; overflow: visible !important; }}
.sliders .head {{ margin-bottom: 2px !important; }}
.sliders .min_value, .sliders .max_value {{ display: none; }}
.sliders input[type=range]::-webkit-slider-runnable-track {{ background: {TRACK} !important; height: 6px !important; }}
.sliders input[type=range]::-moz-range-track {{ background: {TRACK} !important; height: 6px !important; }}
.sliders input[type=range]::-moz-range-progress {{ background: none !important; }}
input[type=range]::-webkit-slider-thumb {{ background: var(--slider-color) !important; }}
input[type=range]::-moz-range-thumb {{ background: var(--slider-color) !important; }}
input[type=range]:focus-visible {{ outline: 2px solid var(--color-accent) !important; outline-offset: 4px; }}

.facts {{ font-size: 14px; }}
.facts .note {{ color: var(--body-text-color-subdued); font-size: 12px; padding-top: 3px; overflow-wrap: anywhere; }}
.scores {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 8px; }}
.scores.none {{ display: block; color: var(--body-text-color-subdued); font-size: 13px; overflow-wrap: anywhere; }}
.score {{ border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 6px 11px; display: grid;
  grid-template-columns: 1fr auto; align-items: baseline; }}
.score span {{ font-size: 13px; }}
.score b {{ font-size: 17px; font-variant-numeric: tabular-nums; }}
.score small {{ grid-column: 1 / 3; font-size: 11.5px; color: var(--body-text-color-subdued); }}

@media (max-width: 760px) {{
  /* One column: the picture stays in sight above the sliders. Without its column's box it sticks to the whole page. */
  .column:has(> #stage) {{ display: contents; }}
  #stage {{ position: sticky; top: 0; z-index: 100; padding: 8px 0; background: var(--body-background-fill); }}
  #stage, #strip, #start {{ width: 100%; flex: none; }}
  .stage .moved {{ flex-basis: 250px; }}
  .strip {{ min-height: 86px; }}
}}
"""
