"""The run folder: everything of one training, valid after a kill at any moment.

::

    config.json                the recipe, complete, and the versions that made it
    checkpoints/00001000/      after step 1000: a folder a network, trainer.safetensors, trainer.json
    metrics.jsonl              a row of scalars every few steps
    samples/00001000.png       pictures of the same latents, step after step
    directions/, report.json, report.html    written by discovery and evaluation
    encoder/                   an encoder for a generator that has none (:mod:`disentangle.training.encoder`)
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from disentangle import __version__
from disentangle.data import ImageSet
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.models import LatentEncoder, ResNet
from disentangle.training.encoder import RECORD, EncoderRecord
from disentangle.training.files import write_atomic
from disentangle.training.networks import hash_network, load_network
from disentangle.training.pictures import Middle
from disentangle.training.recipe import Recipe

FORMAT = 3
"""Version of the folder's layout. A folder of another version is refused."""

KINDS = ("gan", "vae", "diffusion", "classifier")
"""What a run can train: the family of its recipe's loss."""


def name_of(folder: Path) -> str:
    """What a folder is called where it was found, whatever it is a link to."""
    path = folder.absolute()
    return path.resolve().name if path.name in ("", "..") else path.name


@dataclass(frozen=True)
class Run:
    """A run folder. Made by :meth:`draft` and :meth:`create`, found by :meth:`open` and :meth:`find`.

    Attributes:
        path: the folder.
        config: contents of ``config.json``: ``format``, ``version``, ``name``, ``kind`` and ``recipe``.
    """

    path: Path
    config: dict[str, Any]

    @staticmethod
    def draft(path: Path, name: str, recipe: Recipe) -> "Run":
        """A run that is not on disk yet; :meth:`create` puts it there."""
        described = {"format": FORMAT, "version": __version__, "name": name, "kind": recipe.loss.family}
        return Run(path, described | {"recipe": recipe.to_dict()})

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: where the path exists and is not an empty folder, or cannot be written.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(
                f"{self.path} exists and is not empty: choose another folder with --out, or go on with the run that is "
                f"there by `disentangle train --resume {self.path}`"
            )
        self.write_config()

    def write_config(self) -> None:
        """Write ``config.json``.

        Raises:
            UserError: where it cannot be written.
        """
        write_atomic(self.path / "config.json", json.dumps(self.config, indent=2) + "\n")

    @staticmethod
    def open(path: Path | str) -> "Run":
        """Open a run folder.

        Raises:
            UserError: where it is none, is damaged, or was written by another version.
        """
        path = Path(path)
        if not path.is_dir():
            beside = [config.parent.name for config in path.parent.glob("*/config.json")]
            near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(str(path.parent / name) for name in near)}? " if near else ""
            raise UserError(f"no run folder at {path}: {hint}`disentangle train RECIPE` makes one")
        try:
            config = json.loads((path / "config.json").read_text())
        except FileNotFoundError:
            inside = sorted(config.parent.name for config in path.glob("*/config.json"))
            hint = f"; it holds {', '.join(inside)}: name one of them" if inside else ""
            raise UserError(f"{path} is not a run folder: it has no config.json{hint}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path / 'config.json'} cannot be read: {error}; restore it, or train again") from None
        if not isinstance(config, dict) or "recipe" not in config or config.get("kind") not in KINDS:
            raise UserError(f"{path} is not a run folder: its config.json is of another kind")
        if config.get("format") != FORMAT:
            raise UserError(
                f"{path} is of format {config.get('format')!r}, written by version {config.get('version')}; this is "
                f"version {__version__}, which reads format {FORMAT}: install that version or train again"
            )
        return Run(path, config)

    @staticmethod
    def find(root: Path | str) -> "list[Run]":
        """All runs in ``root`` that have a checkpoint, by name; other folders are passed over."""
        runs = []
        for config in sorted(Path(root).glob("*/config.json")):
            try:
                run = Run.open(config.parent)
            except UserError:
                continue
            if run.checkpoints():
                runs.append(run)
        return runs

    @property
    def name(self) -> str:
        """The folder's name; of a link to it, the link's."""
        return name_of(self.path)

    @property
    def kind(self) -> str:
        """One of :data:`KINDS`."""
        return str(self.config["kind"])

    @property
    def recipe(self) -> Recipe:
        """The complete recipe."""
        return Recipe.from_dict(self.config["recipe"])

    @property
    def metrics_path(self) -> Path:
        """Where the scalars are."""
        return self.path / "metrics.jsonl"

    def checkpoint_path(self, step: int) -> Path:
        """Folder of the checkpoint after ``step``, whether it exists or not."""
        return self.path / "checkpoints" / f"{step:08d}"

    def checkpoints(self) -> list[int]:
        """Steps that have a complete checkpoint, rising."""
        folders = (self.path / "checkpoints").glob("[0-9]*")
        return sorted(int(f.name) for f in folders if f.name.isdigit() and (f / "trainer.json").is_file())

    def checkpoint_of(self, step: int | None) -> Path:
        """Folder of the complete checkpoint after ``step``, by default the newest.

        Raises:
            UserError: where there is none.
        """
        newest = self.step
        if step is not None and step not in self.checkpoints():
            possible = ", ".join(map(str, self.checkpoints()))
            raise UserError(f"{self.path} has no checkpoint of step {step}: possible: {possible}")
        return self.checkpoint_path(newest if step is None else step)

    @property
    def step(self) -> int:
        """Step of the newest complete checkpoint.

        Raises:
            UserError: where there is none yet.
        """
        steps = self.checkpoints()
        if not steps:
            raise UserError(
                f"{self.path} has no checkpoint yet: go on with it by `disentangle train --resume {self.path}`"
            )
        return steps[-1]

    def metrics(self) -> list[dict[str, float]]:
        """Rows of ``metrics.jsonl``, rising in step; an unfinished last row is left out."""
        if not self.metrics_path.exists():
            return []
        rows = []
        try:
            text = self.metrics_path.read_text(errors="replace")
        except OSError as error:
            raise UserError(f"{self.metrics_path} cannot be read: {error.strerror}; move it away") from None
        for line in text.splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def load_generator(
        self, ema: bool = True, device: torch.device | str | None = None, step: int | None = None
    ) -> Generator:
        """The generator of a checkpoint, ready to use.

        Args:
            ema: the averaged weights instead of the last ones.
            device: where to put it.
            step: of the checkpoint; by default the newest.

        Returns:
            A model in evaluation mode that implements :class:`disentangle.generator.Generator`, and
            :class:`disentangle.generator.Encoder` where the run is of kind ``"vae"``.

        Raises:
            UserError: where the run is a classifier, or there is no checkpoint or it cannot be read.
        """
        if self.kind == "classifier":
            raise UserError(f"{self.path} is a classifier, which makes no pictures: name a run of a generator")
        model = load_network(self.checkpoint_of(step) / ("ema" if ema else "generator"))
        if not isinstance(model, Generator):
            raise UserError(f"{self.path} is damaged: its generator is a {type(model).__name__}")
        return model.to(device=device).eval().requires_grad_(False)

    def load_classifier(self, device: torch.device | str | None = None) -> ResNet:
        """The classifier of the newest checkpoint (its averaged weights), in evaluation mode: pictures to logits.

        Raises:
            UserError: where the run is no classifier, or there is no checkpoint or it cannot be read.
        """
        if self.kind != "classifier":
            raise UserError(f"{self.path} is the run of a generator, which classifies nothing")
        model = load_network(self.checkpoint_path(self.step) / "ema")
        if not isinstance(model, ResNet):
            raise UserError(f"{self.path} is damaged: its classifier is a {type(model).__name__}")
        return model.to(device=device).eval().requires_grad_(False)  # type: ignore[no-any-return]

    def data(self) -> ImageSet:
        """The data set that the run was trained on.

        Raises:
            UserError: where it is not to be found.
        """
        return self.recipe.data.open("train" if self.kind == "classifier" else None)

    def test_data(self) -> ImageSet:
        """The pictures that a classifier is tested on, as large as it takes them.

        Raises:
            UserError: where they are not to be found.
        """
        data, size = self.recipe.data.open("test"), self.recipe.data.size
        return data if data.size == size else Middle(data, size)

    def weights_hash(self, step: int | None = None) -> str:
        """SHA-256 of the averaged weights of the checkpoint after ``step``, by default the newest."""
        return hash_network(self.checkpoint_of(step) / "ema")

    @property
    def encoder(self) -> "Run":
        """Where the encoder that was trained for the generator is, with checkpoints of its own."""
        return Run(self.path / "encoder", {})

    def encoder_record(self, step: int | None = None) -> EncoderRecord:
        """What the newest state of the encoder of the generator after ``step``, by default the newest, says of itself.

        Raises:
            UserError: where there is none, it is damaged, or it belongs to other weights.
        """
        steps = self.encoder.checkpoints()
        if not steps:
            raise UserError(f"{self.path} has no encoder: `disentangle encode {self.path}` trains one")
        record = EncoderRecord.read(self.encoder.checkpoint_path(steps[-1]) / RECORD)
        weights = self.weights_hash(step)
        if record.weights != weights:
            raise UserError(
                f"{self.encoder.path} belongs to other weights: to {record.weights[:12]}, those of step "
                f"{record.checkpoint}, while these are {weights[:12]}, of step {step or self.step}; "
                f"`disentangle encode {self.path} --restart` trains a new one for the newest"
            )
        return record

    def load_encoder(self, step: int | None = None, device: torch.device | str | None = None) -> LatentEncoder:
        """The encoder that was trained for the generator after ``step``, by default the newest: pictures to codes.

        Raises:
            UserError: where there is none, it is damaged, or it belongs to other weights.
        """
        record = self.encoder_record(step)
        model = load_network(self.encoder.checkpoint_path(record.step) / "encoder")
        if not isinstance(model, LatentEncoder):
            raise UserError(f"{self.encoder.path} is damaged: its encoder is a {type(model).__name__}")
        return model.to(device=device).eval().requires_grad_(False)  # type: ignore[no-any-return]
