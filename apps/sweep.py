"""``disentangle sweep RECIPE``: train a recipe with several treatments and seeds, several at once, and compare them."""

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, check_seed, unknown_name

if TYPE_CHECKING:  # imported where it is used: `disentangle sweep --help` must not wait for torch
    from disentangle.apps.sweep_plan import Plan
    from disentangle.training.recipe import Recipe

logger = logging.getLogger(__name__)

DESCRIPTION = """Train a recipe with several treatments and seeds, evaluate the runs and compare them.

Every run has a folder of its own, OUT/TREATMENT-sSEED. Called again in the same way it goes on: what is done is
passed over, what was interrupted is resumed. Any setting of the recipe can be changed as well; `disentangle sweep
RECIPE --help` lists them, too. The comparison is in OUT/compare.html.

example:
  disentangle sweep digits-vae --treatments none ol nog --seeds 0 1 2 --steps 2000 --jobs 2 --out runs/sweep
"""


@dataclass(frozen=True)
class Args:
    """Command line of ``disentangle sweep``, but for the recipe and its settings.

    Attributes:
        treatments: each none or names joined by +, as in nog+olr; by default the recipe's own.
        seeds: every treatment is trained with each.
        vary: further settings and their values, as in model.groups=1,2: every combination is trained.
        jobs: runs at once, each on its share of the cores (unless OMP_NUM_THREADS is set).
        out: folder of the runs and of the comparison.
        evaluate: whether to score each run before the comparison.
        device: where to train: auto takes an accelerator where there is one.
    """

    treatments: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    vary: tuple[str, ...] = ()
    jobs: int = 1
    out: Path = Path("runs/sweep")
    evaluate: bool = True
    device: Literal["auto", "cpu"] = "auto"

    def check(self) -> None:
        """Raise :class:`UserError` where a value makes no sense."""
        if self.jobs < 1:
            raise UserError(f"--jobs must be at least 1, got {self.jobs}")
        if not self.seeds:
            raise UserError("--seeds needs at least one seed")
        for seed in self.seeds:
            check_seed(seed)
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"--out must be a folder, and {self.out} is a file: name a folder")


def main(argv: list[str]) -> None:
    """Entry point: parse, plan, train and evaluate, compare."""
    prog = "disentangle sweep RECIPE"
    if not argv or argv[0] in ("-h", "--help"):
        parse(Args, args=["--help"], prog=prog, description=DESCRIPTION)
    name, *rest = argv
    if name.startswith("-"):
        raise UserError(f"the recipe's name comes first, got {name!r}: `disentangle list` shows the recipes")
    if "-h" in rest or "--help" in rest:
        with contextlib.suppress(SystemExit):
            parse(Args, args=["--help"], prog=prog, description=DESCRIPTION)
        make_plan(name, Args(), ["--help"])  # the recipe's own, which ends the program
    parsed = cast(Any, parse(Args, args=rest, prog=prog, description=DESCRIPTION, return_unknown_args=True))
    args: Args = parsed[0]
    args.check()
    plan = make_plan(name, args, parsed[1])
    sweep(plan, args, shlex.join(["disentangle", "sweep", *argv]))


def make_plan(name: str, args: Args, overrides: Sequence[str]) -> "Plan":
    """The plan of a command line; ``overrides`` are what is left of it, settings of the recipe.

    Raises:
        UserError: where a recipe, a setting or a treatment is unknown, or a value does not fit.
    """
    from disentangle.apps.comparison import NAMES
    from disentangle.apps.sweep_plan import TAKEN, Plan, parse_treatments, parse_vary
    from disentangle.apps.train import TrainArgs
    from disentangle.training.recipes import RECIPES

    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    for setting, option in TAKEN.items():
        given = any(word.partition("=")[0].replace("_", "-") == f"--{setting}" for word in overrides)
        if given and (setting != NAMES or args.treatments):
            raise UserError(f"--{setting} is not for a sweep, which has {option}: use that")
    chosen = parse(
        TrainArgs,
        args=overrides,
        default=TrainArgs(recipe=RECIPES[name]),
        prog=f"disentangle train {name}",
        config=(tyro.conf.AvoidSubcommands,),
    )
    treatments = parse_treatments(args.treatments) or (chosen.recipe.treatment.names,)
    return Plan(name, chosen.recipe, treatments, args.seeds, parse_vary(args.vary))


def sweep(plan: "Plan", args: Args, command: str) -> None:
    """Train, evaluate and compare the runs of a plan.

    Raises:
        UserError: where something does not fit, before anything is trained; or where runs have failed, after all others
            are done.
    """
    from disentangle.apps.compare import compare_runs
    from disentangle.apps.sweep_jobs import Pool, progress_of, words_of
    from disentangle.apps.sweep_plan import agree
    from disentangle.training.files import check_writable, locked

    environment = dict(os.environ)
    runs = plan.runs()
    check_writable(args.out)
    with locked(args.out):
        agree(args.out, plan)
        paths = prepare(plan.name, runs, args)
        logger.info("%d runs into %s, %d at once", len(paths), args.out, args.jobs)
        failures = Pool(args.jobs, args.evaluate, words_of(args.device), environment).work(paths)
        done = [path for path in paths if progress_of(path) == 1]
        if done:
            compare_runs(done, args.out, command)
    if failures:
        sys.stdout.flush()
        raise UserError(failed(failures, len(paths)))


def prepare(name: str, runs: Mapping[str, "Recipe"], args: Args) -> list[Path]:
    """The runs' folders, each with its ``config.json``; before one is made, all that can be wrong is tried.

    Raises:
        UserError: where a recipe does not fit itself or its data, or a folder holds another run.
    """
    from disentangle.apps.train import settled
    from disentangle.training.hardware import choose_device, make_accelerator
    from disentangle.training.loop import Trainer
    from disentangle.training.run import Run

    paths = {folder: args.out / folder for folder in runs}
    begun = {folder: Run.open(path) for folder, path in paths.items() if (path / "config.json").exists()}
    drafts = []
    for folder, recipe in runs.items():
        if recipe.precision == "auto" and begun:  # as was decided where the sweep was begun
            recipe = replace(recipe, precision=next(iter(begun.values())).recipe.precision)
        drafts.append(Run.draft(paths[folder], name, settled(recipe, choose_device(args.device))))
        if folder in begun and begun[folder].recipe != drafts[-1].recipe:
            raise UserError(f"{paths[folder]} holds another run than the sweep's: choose another folder with --out")
    missing = [draft for draft in drafts if draft.path.name not in begun]
    for draft in missing:
        if draft.recipe.seed == missing[0].recipe.seed:  # what is wrong is so for every seed
            Trainer(draft, draft.data(), make_accelerator("cpu"))
    for draft in missing:
        draft.write_config()
    return list(paths.values())


def failed(failures: Mapping[Path, str], total: int) -> str:
    """What is said at the end: which runs failed, and what can be done."""
    words = "; ".join(f"{path.name} ({why})" for path, why in failures.items())
    return (
        f"{len(failures)} of {total} runs failed: {words}; their sweep.log says more; the same command tries them again"
    )
