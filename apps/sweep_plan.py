"""What a sweep is to train: a recipe with every treatment, every value of the settings that vary, and every seed."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from disentangle.apps.comparison import NAMES, treatment_name
from disentangle.apps.summary import flatten
from disentangle.errors import UserError, unknown_name
from disentangle.training.files import write_atomic
from disentangle.training.recipe import Recipe
from disentangle.treatments import TREATMENTS

VERSION = 1
"""Version of ``sweep.json``."""

FILE = "sweep.json"

TAKEN = {"seed": "--seeds", NAMES: "--treatments"}
"""Settings that have an option of their own."""


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        name: the recipe's name.
        recipe: the recipe, with what was changed of it.
        treatments: each a tuple of names, none for no treatment.
        seeds: of each of them.
        vary: dotted name of a setting -> the values it takes, as they were typed.
    """

    name: str
    recipe: Recipe
    treatments: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]
    vary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def runs(self) -> dict[str, Recipe]:
        """Folder name -> recipe of every run; all the settings with the first seed come first.

        Raises:
            UserError: where a value does not fit its setting, or two runs are one.
        """
        found: dict[str, Recipe] = {}
        axes = [[(field, value) for value in values] for field, values in self.vary.items()]
        for seed in self.seeds:
            for names, *settings in itertools.product(self.treatments, *axes):
                recipe = replace(self.recipe, seed=seed, treatment=replace(self.recipe.treatment, names=names))
                words = [treatment_name(names)]
                for setting, value in settings:
                    recipe = with_setting(recipe, setting, value)
                    words.append(f"{setting.rpartition('.')[2]}={value}")
                folder = re.sub(r"[^\w.+=,-]", "_", "-".join([*words, f"s{seed}"]))
                if folder in found or recipe in found.values():
                    raise UserError(f"the run {folder} is in the sweep twice: name every value once")
                found[folder] = recipe
        return found

    def to_dict(self) -> dict[str, Any]:
        """As ``sweep.json`` holds it."""
        return {
            "version": VERSION,
            "recipe": self.name,
            "settings": self.recipe.to_dict(),
            "treatments": [list(names) for names in self.treatments],
            "seeds": list(self.seeds),
            "vary": {name: list(values) for name, values in self.vary.items()},
        }


def parse_treatments(words: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """``none``, ``nog``, ``nog+olr`` … as tuples of names.

    Raises:
        UserError: for an unknown treatment, or one that is there twice.
    """
    found: list[tuple[str, ...]] = []
    for word in words:
        names = () if word == "none" else tuple(word.split("+"))
        for name in names:
            if name not in TREATMENTS:
                raise unknown_name("treatment", name, [*TREATMENTS, "none"])
        if len(set(names)) < len(names) or set(names) in map(set, found):
            raise UserError(f"the treatment {word} is named twice: name each once")
        found.append(names)
    return tuple(found)


def parse_vary(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``model.groups=1,2`` … as setting -> values.

    Raises:
        UserError: where it is not of this form, or the setting has an option of its own.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not name or not equals or not all(values.split(",")):
            raise UserError(f"--vary takes SETTING=VALUE,VALUE …, as in model.groups=1,2; got {word!r}")
        name = name.replace("-", "_")
        if name in TAKEN:
            raise UserError(f"--vary {name}: use {TAKEN[name]}")
        if name in found:
            raise UserError(f"--vary names {name} twice: give all its values at once")
        found[name] = tuple(values.split(","))
    return found


def with_setting(recipe: Recipe, name: str, value: str) -> Recipe:
    """The recipe with another value of the setting with this dotted name.

    Raises:
        UserError: where there is no such setting, or it cannot have this value.
    """
    values = recipe.to_dict()
    known = flatten(values)
    if name not in known:
        raise unknown_name("setting", name, known)
    *path, last = name.split(".")
    inner = values
    for part in path:
        inner = inner[part]
    inner[last] = value
    try:
        changed = Recipe.from_dict(values)
    except UserError:
        raise UserError(f"{name} cannot be {value!r}; it is {known[name]!r} in the recipe") from None
    return changed


def agree(folder: Path, plan: Plan) -> None:
    """See to it that ``sweep.json`` in ``folder`` holds this plan, writing it where there is none.

    Raises:
        UserError: where it holds another one, or the folder holds other things.
    """
    path = folder / FILE
    wanted = plan.to_dict()
    if not path.exists():
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if others:
            raise UserError(
                f"{folder} is not empty and holds no sweep, but {others[0]}: choose another folder with --out"
            )
        write_atomic(path, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        held = flatten(json.loads(path.read_text()))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}; restore it, or choose another folder with --out") from None
    asked = flatten(wanted)
    differing = [name for name in dict.fromkeys([*held, *asked]) if held.get(name) != asked.get(name)]
    if differing:
        name = differing[0]
        raise UserError(
            f"{folder} holds another sweep, whose {name.removeprefix('settings.')} is {held.get(name)} and not "
            f"{asked.get(name)}: choose another folder with --out, or call it as it was called before"
        )
