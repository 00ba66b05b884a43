"""What is scored: a run's model and data, and what several scores need of them, made once."""

import platform
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor

from disentangle import __version__
from disentangle.apps.evaluation.codes import Coder, checked, find_coder, read_codes, reconstruct
from disentangle.apps.evaluation.ledger import Ledger
from disentangle.apps.evaluation.pictures import (
    Features,
    Network,
    load_distance_of,
    load_network_of,
    read_features,
)
from disentangle.apps.evaluation.score import Labelled
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.team import Team
from disentangle.data import LabelledSet
from disentangle.data.identity import content_of, describe
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.training.draws import seeded
from disentangle.training.encoder import EncoderRecord
from disentangle.training.hardware import choose_device
from disentangle.training.networks import hash_network, load_network
from disentangle.training.run import Run

Json = dict[str, Any]

DEFAULT_PICTURES = 2_000
"""Pictures on each side of a comparison, if nothing else is asked for."""

RECONSTRUCTED = 1_000
"""Pictures whose reconstruction is measured."""


class Subject:
    """A generator, its data, and what scores are computed from.

    Attributes:
        run: the run.
        settings: what is measured.
        team: the processes that share the work; what is made here, all of them make together.
        step: of the checkpoint.
        device: where the networks are.
        data: the data set.
        model: the averaged generator of the checkpoint, in evaluation mode.
        weights: SHA-256 of its weights.
        coder: what reads codes off pictures, if anything does.

    Raises:
        UserError: where the run has no such checkpoint, or its data are missing or too few.
    """

    def __init__(self, run: Run, settings: Settings, team: Team, ledger: Ledger | None = None) -> None:
        self.run, self.settings, self.team = run, settings, team
        self._ledger = ledger
        self.step = run.step if settings.checkpoint is None else settings.checkpoint
        self.device = team.place(choose_device(settings.device))
        self.model, self.weights = load_model(run, self.step, self.device)
        self.data = run.data()
        if len(self.data) < 4:
            raise UserError(f"the data set {self.data.name!r} has {len(self.data)} pictures: scores need at least 4")
        self.coder = find_coder(run, self.model, self.step, self.device)

    @property
    def labelled_data(self) -> LabelledSet | None:
        """The data set, where there are codes and labels to score."""
        return self.data if self.coder is not None and isinstance(self.data, LabelledSet) else None

    @property
    def count(self) -> int:
        """Pictures on each side of a comparison."""
        return min(self.settings.samples or DEFAULT_PICTURES, len(self.data) // 2)

    @cached_property
    def identity(self) -> Json:
        """What decides every score: the weights, the data and the seed."""
        return {
            "weights": self.weights,
            "data": self.described,
            "seed": self.settings.seed,
            "versions": versions(),
            "device": self.device.type,
        }

    @cached_property
    def described(self) -> Json:
        """The data set as the report names it, with what tells it from others of that name."""
        return describe(self.data) | {"content": content_of(self.data)}

    @cached_property
    def code_inputs(self) -> Json:
        """What decides the codes."""
        coder = cast(Coder, self.coder)
        encoder = None if coder.record is None else [coder.record.to_dict(), self._encoder_hash(coder.record)]
        names = ("train_samples", "test_samples")
        return self.identity | {"encoder": encoder} | {name: getattr(self.settings, name) for name in names}

    def _encoder_hash(self, record: EncoderRecord) -> str:
        return hash_network(self.run.encoder.checkpoint_path(record.step) / "encoder")

    @cached_property
    def labelled(self) -> tuple[Labelled, Json]:
        """Codes of labelled pictures, with their factors; and which codes are in use."""
        data, coder = cast(LabelledSet, self.labelled_data), cast(Coder, self.coder)

        def compute() -> dict[str, Any]:
            return read_codes(coder.encoder, data, self.settings, self.device, self.team)

        ledger, team = self._ledger, self.team
        if ledger is None:
            return unpack(compute(), data)
        # All must agree whether there is something to compute together: the first one looks.
        kept = team.first(lambda: ledger.read_arrays("codes", self.code_inputs))
        if kept is None:
            kept = compute()
            if team.rank == 0:
                ledger.write_arrays("codes", self.code_inputs, kept)
        return unpack(kept, data)

    @cached_property
    def network(self) -> Network:
        """What pictures are compared by."""
        return load_network_of(self.settings.features, self.device)

    @cached_property
    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """What two pictures are compared by."""
        return load_distance_of(self.settings.distance, self.device)

    @cached_property
    def chosen(self) -> Tensor:
        """Indices of the pictures that are compared with, and of as many others."""
        return torch.randperm(len(self.data), generator=seeded(self.settings.seed, "pictures"))[: 2 * self.count]

    @cached_property
    def latents(self) -> Tensor:
        """Latents of the generated pictures."""
        return self.model.sample_latents(self.count, seeded(self.settings.seed, "samples"))

    def generate(self, latents: Tensor) -> Tensor:
        """Generated pictures, uint8 on the CPU.

        As files would hold them: the data have 8 bits, so a finer generated picture would differ from all of them.
        """
        return checked(self.model.synthesize(latents))

    @property
    def reconstructions(self) -> int:
        """Pictures whose reconstruction is measured."""
        return min(self.count, RECONSTRUCTED)

    @cached_property
    def reconstructed(self) -> tuple[Tensor, Tensor]:
        """Pictures of the data and what the generator makes of their codes, uint8."""
        originals = self.data.images(self.chosen[: self.reconstructions])
        return originals, self.team.map("reconstructions", self.reconstruct, originals)

    def reconstruct(self, images: Tensor) -> Tensor:
        """What the generator makes of the codes of uint8 pictures, uint8."""
        return reconstruct(self.model, cast(Coder, self.coder), images, self.device)

    @cached_property
    def features(self) -> Features:
        """Features of the generated pictures, of the data, and of reference points."""
        return read_features(self)


def unpack(arrays: Mapping[str, Any], data: LabelledSet) -> tuple[Labelled, Json]:
    """Labelled codes, and the variance of each, its divergence from the prior, and whether it is in use."""
    info = {
        "variance": arrays["variance"].tolist(),
        "kl": arrays["kl"].tolist() if len(arrays["kl"]) else None,
        "active": arrays["active"].tolist(),
    }
    return Labelled(arrays["codes"], arrays["factors"], int(arrays["train"]), data.factor_names), info


def load_model(run: Run, step: int, device: torch.device) -> tuple[Generator, str]:
    """The averaged generator of the checkpoint after ``step``, in evaluation mode, and the hash of its weights.

    Raises:
        UserError: where there is no such checkpoint, or it is damaged.
    """
    if step not in run.checkpoints():
        possible = ", ".join(map(str, run.checkpoints()))
        raise UserError(f"{run.path} has no checkpoint of step {step}: possible: {possible}")
    folder = run.checkpoint_path(step) / "ema"
    weights = hash_network(folder)
    return cast(Generator, load_network(folder).to(device=device).eval().requires_grad_(False)), weights


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    names = ("torch", "numpy", "scikit-learn", "scipy")
    return {"disentangle": __version__, "python": platform.python_version()} | {name: version(name) for name in names}
