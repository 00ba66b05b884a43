"""What trained generators came to: a table, samples and strips of all recipes that were trained with some seeds.

    python benchmarks/generator_results.py runs/generators docs/results

The folder has RECIPE/sSEED, runs that were evaluated (and encoded before, where they have no encoder of their own).
Where there is RECIPE/early, evaluated as well, the Fréchet distance is also told as a share of that run's. Writes
generators.json, generators-samples.png and generators-strips.png, and prints the table.
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from disentangle.directions import discover, measure_activeness
from disentangle.directions.draw import traverse
from disentangle.pictures import grid
from disentangle.training.run import Run

CODES = ("MIG", "DCI disentanglement", "DCI completeness")
DISTANCE = "Fréchet distance"
COLUMNS, STRIPS, POSITIONS, CAPTION = 14, 3, 11, 190

Json = dict[str, Any]


def main() -> None:
    """Read the runs, write the files, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    runs: dict[str, list[Path]] = {}
    for report in sorted(args.runs.glob("*/s*/report.json")):
        runs.setdefault(report.parents[1].name, []).append(report.parent)
    results = {name: summarise(paths) for name, paths in runs.items()}
    (args.out / "generators.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    first = {name: paths[0] for name, paths in runs.items()}
    sheet({name: [samples(path)] for name, path in first.items()}).save(args.out / "generators-samples.png")
    sheet({name: strips(path) for name, path in first.items()}).save(args.out / "generators-strips.png")
    sys.stdout.write(table(results))


def summarise(paths: list[Path]) -> Json:
    """Mean and deviation over the seeds of each score, and how far codes are from the same codes rotated at random."""
    reports = [json.loads((path / "report.json").read_text()) for path in paths]
    found: Json = {"model": reports[0]["model"], "seeds": [report["run"] for report in reports]}
    found["steps"] = reports[0]["step"]
    found["minutes"] = statistics.mean(Run.open(path).metrics()[-1]["time"] / 60 for path in paths)
    for name in (*CODES, DISTANCE, "Reconstruction error"):
        scores = [score for report in reports for score in report["scores"] if score["name"] == name]
        if not scores:
            continue
        found[name] = spread([score["value"] for score in scores])
        if name in CODES:
            rotated = [score["baselines"]["rotated"] for score in scores]
            found[name]["rotated"] = spread(rotated)
            gaps = [score["value"] - base for score, base in zip(scores, rotated, strict=True)]
            error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
            found[name]["standard errors above rotated"] = statistics.mean(gaps) / error if error > 0 else None
    early = paths[0].parent / "early" / "report.json"
    if early.exists():
        report = json.loads(early.read_text())
        before = next(score["value"] for score in report["scores"] if score["name"] == DISTANCE)
        found[DISTANCE]["early"] = {"step": report["step"], "value": before}
    if reports[0].get("encoder"):
        found["encoder"] = reports[0]["encoder"]
    return found


def spread(values: list[float]) -> Json:
    """Mean, sample deviation and the values themselves."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "deviation": deviation, "values": values}


def table(results: dict[str, Json]) -> str:
    """The results in Markdown."""
    lines = ["| recipe | model | steps | MIG (rotated) | DCI D (rotated) | DCI C (rotated) | Fréchet distance |"]
    lines.append("|---" * 7 + "|")
    for name, found in results.items():
        cells = [name, found["model"], f"{found['steps']:,}"]
        for score in CODES:
            one = found.get(score)
            cells.append("" if one is None else f"{shown(one)} ({shown(one['rotated'])})")
        distance = found[DISTANCE]
        early = distance.get("early")
        ratio = f", {distance['mean'] / early['value']:.2f} of step {early['step']}" if early else ""
        cells.append(shown(distance, 0) + ratio)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shown(score: Json, digits: int = 3) -> str:
    """Mean ± deviation."""
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.{digits}f}"
    return f"{score['mean']:.{digits}f}{deviation}"


def tiles(pictures: torch.Tensor, columns: int) -> Image.Image:
    """A row of pictures, 64 pixels each."""
    return grid(pictures, columns, 2, max(1, 64 // pictures.shape[-1])).convert("RGB")


@torch.no_grad()
def samples(path: Path) -> Image.Image:
    """Samples of a run, the same latents for all runs of one size."""
    model = Run.open(path).load_generator()
    images = model.synthesize(model.sample_latents(COLUMNS, torch.Generator().manual_seed(0)))
    return tiles(images, COLUMNS)


@torch.no_grad()
def strips(path: Path) -> list[Image.Image]:
    """Strips along a run's most active directions, from -3 to 3 standard deviations."""
    model = Run.open(path).load_generator()
    found = measure_activeness(model, discover(model), seed=0)
    start = model.sample_latents(1, torch.Generator().manual_seed(0))
    positions = torch.linspace(-3, 3, POSITIONS).tolist()
    return [tiles(traverse(model, found, k, start, positions), POSITIONS) for k in found.ranking(STRIPS)]


def sheet(rows: dict[str, list[Image.Image]]) -> Image.Image:
    """Rows of pictures with captions beside them."""
    width = CAPTION + max(row.width for several in rows.values() for row in several)
    page = Image.new("RGB", (width, sum(row.height for several in rows.values() for row in several)), "white")
    pen, font, y = ImageDraw.Draw(page), ImageFont.load_default(size=14), 0
    for name, several in rows.items():
        pen.text((CAPTION - 8, y + several[0].height // 2), name, "black", font, anchor="rm")
        for row in several:
            page.paste(row, (CAPTION, y))
            y += row.height
    return page


if __name__ == "__main__":
    main()
