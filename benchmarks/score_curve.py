"""Scores of one run over its steps: trains it on from stage to stage, evaluates it at each, and draws the curves.

    disentangle train dsprites-beta-tcvae --data.name sprites --steps 1000 --out runs/sprites64
    python benchmarks/score_curve.py runs/sprites64 docs/results/sprites64 --stages 1000 2000 4000

A stage is a step, at which training stops, and from which it then goes on to the bit as if it had not. Each report
stays in RUN/curve/STEP; stages that have one are not evaluated again, so what was stopped goes on. Writes PREFIX.json
and PREFIX.png, and prints the table.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from disentangle.apps.evaluate import evaluate
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.figure import Figure, Shape, png
from disentangle.apps.panels import Series, curve_panel
from disentangle.apps.train import resume
from disentangle.training.run import Run

SCORES = ("MIG", "DCI disentanglement", "DCI completeness", "InfoMEC modularity")
WIDTH, TALL, NAMES = 980.0, 420.0, 190.0

Json = dict[str, Any]


def main() -> None:
    """Train, evaluate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--stages", type=int, nargs="+", required=True)
    parser.add_argument("--samples", type=int, default=10_000, help="codes to learn from; half as many to test on")
    args = parser.parse_args()
    stages = [stage(args.run, step, args.samples) for step in sorted(args.stages)]
    args.prefix.with_suffix(".json").write_text(json.dumps(stages, indent=1, ensure_ascii=False) + "\n")
    png(draw(args.run, stages)).save(args.prefix.with_suffix(".png"))
    sys.stdout.write(table(stages))


def stage(path: Path, step: int, samples: int) -> Json:
    """Values, intervals and those of rotated codes at ``step``."""
    out = path / "curve" / str(step)
    report = out / "report.json"
    if not report.exists():
        if Run.open(path).step < step:
            resume(path, step, device="cpu")
        settings = Settings(
            scores=("mig", "dci", "infomec"),
            train_samples=samples,
            test_samples=samples // 2,
            device="cpu",
            checkpoint=step,
        )
        evaluate(Run.open(path), settings, out=out)
    found = json.loads(report.read_text())
    scores = {score["name"]: score for score in found["scores"] if score["name"] in SCORES}
    return {
        "step": step,
        "minutes": minutes(path, step),
        **{
            name: {
                "value": score["value"],
                "interval": score.get("interval"),
                "rotated": score["baselines"]["rotated"],
            }
            for name, score in scores.items()
        },
    }


def minutes(path: Path, step: int) -> float:
    """Of training, up to ``step``."""
    return max(float(row["time"]) for row in Run.open(path).metrics() if row["step"] <= step) / 60


def draw(path: Path, stages: list[Json]) -> Figure:
    """Each score over the steps, and dashed that of the same codes rotated at random."""
    lines: list[Series] = []
    for index, name in enumerate(SCORES):
        ink = f"c{index + 2}"
        lines.append(Series(name, [(s["step"], s[name]["value"]) for s in stages], ink=ink))
        rotated = [(s["step"], s[name]["rotated"]) for s in stages]
        lines.append(Series(f"{name}, rotated", rotated, ink=ink, dash=(3, 3)))
    run = Run.open(path)
    data = f"{run.recipe.data.name} {run.recipe.data.size}×{run.recipe.data.size}"
    title = f"{run.config['name']} on {data}, seed {run.recipe.seed}: scores over the steps"
    shapes: list[Shape] = curve_panel(title, lines, 22, 22, WIDTH - 44, TALL, NAMES)
    return Figure(WIDTH, TALL + 40, title, shapes)


def table(stages: list[Json]) -> str:
    """The stages in Markdown."""
    lines = ["| step | " + " | ".join(f"{name} (rotated)" for name in SCORES) + " |", "|---" * (len(SCORES) + 1) + "|"]
    for found in stages:
        cells = [f"{found[name]['value']:.3f} ({found[name]['rotated']:.3f})" for name in SCORES]
        lines.append(f"| {found['step']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
