"""The codes of pictures: which encoder reads them, what it makes of the data, and what can be had without one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from disentangle.apps.evaluation.ledger import Arrays
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.suite import CODES
from disentangle.apps.evaluation.team import Team
from disentangle.data import LabelledSet
from disentangle.errors import UserError
from disentangle.generator import Encoder, Generator
from disentangle.metrics import MIG
from disentangle.pictures import from_uint8, to_uint8
from disentangle.training.draws import seeded
from disentangle.training.encoder import EncoderRecord
from disentangle.training.run import Run

if TYPE_CHECKING:  # which is made with what is here
    from disentangle.apps.evaluation.subject import Subject

Json = dict[str, Any]

TELLING = 0.1
"""Share of a factor that a code must know for a direction to be introduced by it."""

LEAST_CODES = 20
"""Codes that scores need to learn from."""

INACTIVE = 0.01
"""Variance of a code's mean, as a share of the prior's, below which the code counts as unused (Burda et al. 2016, arXiv
1509.00519)."""


@dataclass(frozen=True)
class Coder:
    """What reads codes off the pictures of a run.

    Attributes:
        encoder: the model itself, or what was trained for it.
        latents: which latent of the generator each code is.
        record: how it was trained, where it was trained for a generator that has none of its own.
    """

    encoder: Encoder
    latents: tuple[int, ...]
    record: EncoderRecord | None = None

    def inverts(self, model: Generator) -> bool:
        """Whether the codes are all that a picture is made of.

        Where a generator has noise besides, there is nothing to put in its place: with zeros, which it has never seen,
        or with other noise, the pictures that come back would say nothing about the codes.
        """
        return sorted(self.latents) == list(range(model.latent_size))


def find_coder(run: Run, model: Generator, step: int, device: torch.device) -> Coder | None:
    """The model, if it encodes, or the encoder that was trained for it; None where :func:`why_no_coder` says why."""
    if isinstance(model, Encoder):
        return Coder(model, tuple(range(model.latent_size)))
    if why_no_coder(run, model, step):
        return None
    record = run.encoder_record(step)
    return Coder(run.load_encoder(step, device), record.latents, record)


def why_no_coder(run: Run, model: Generator, step: int) -> str:
    """Why there is nothing that reads codes; empty where there is."""
    if isinstance(model, Encoder):
        return ""
    if not run.encoder.checkpoints():
        return f"this generator has no encoder: `disentangle encode {run.path}` trains one"
    try:
        run.encoder_record(step)
    except UserError as error:
        return str(error)
    return ""


def not_applicable(subject: "Subject", wanted: Collection[str]) -> list[Json]:
    """Those of the wanted scores that cannot be had, each with the reason."""
    run, model, coder, named = subject.run, subject.model, subject.coder, subject.settings.scores
    reasons: dict[str, str] = {}
    absent = ""
    if not isinstance(subject.data, LabelledSet):
        absent = f"needs labelled pictures, and the data set {subject.data.name!r} has no labels"
    elif coder is None:
        absent = f"needs codes of pictures, and {why_no_coder(run, model, subject.step)}"
    if absent:
        reasons |= {score.title: absent for name, score in CODES.items() if name in wanted}
    # What the run cannot have by its nature is only told to who names it.
    if coder is None:
        reason = f"needs an encoder, and {why_no_coder(run, model, subject.step)}"
        if "regression" in named or ("regression" in wanted and run.encoder.checkpoints()):
            reasons["Regression error"] = reason
        if "reconstruction" in named:
            reasons["Reconstruction error"] = reason
    elif coder.record is None and "regression" in named:
        reasons["Regression error"] = "is of an encoder that was trained for a generator, and this model has its own"
    if coder is not None and "reconstruction" in wanted and not coder.inverts(model):
        noise = model.latent_size - len(coder.latents)
        reasons["Reconstruction error"] = (
            f"needs a code for each latent, and {noise} of the {model.latent_size} are noise, which has none"
        )
    return [{"name": name, "reason": reason} for name, reason in reasons.items()]


def notes_on_encoder(run: Run, coder: Coder | None) -> list[str]:
    """What a reader must know of codes that a trained encoder reads."""
    if coder is None or coder.record is None:
        return []
    record = coder.record
    notes = [
        f"The codes are read off the pictures by an encoder, trained for {record.step:,} steps on pictures that the "
        f"generator made: what it cannot read, a regression error of {record.mean_mse:.3f} (1 if it reads nothing), "
        "lowers MIG and DCI too."
    ]
    if record.step < record.settings.steps:
        notes.append(
            f"The encoder's training was stopped at step {record.step:,} of {record.settings.steps:,}: "
            f"`disentangle encode {run.path}` goes on with it."
        )
    return notes


def reconstruct(model: Generator, coder: Coder, images: Tensor, device: torch.device) -> Tensor:
    """What the generator makes of the codes of uint8 pictures, uint8 on the CPU."""
    latents = torch.tensor(coder.latents, device=device).argsort()  # the codes' order, as the latents'
    return checked(model.synthesize(coder.encoder.encode(from_uint8(images).to(device))[:, latents]))


def read_codes(model: Encoder, data: LabelledSet, settings: Settings, device: torch.device, team: Team) -> Arrays:
    """Codes of pictures drawn at random without repetition, with their factors; and which codes are in use.

    Returns:
        ``codes (n, d)``, ``factors (n, k)``, ``indices (n,)`` of the pictures, ``train``, how many of these are to
        learn from, ``variance (d,)``, ``kl (d,)`` in nats, empty where the encoder has no posterior, ``active (d,)``.

    Raises:
        UserError: where there are too few pictures, or the codes are not finite.
    """
    wanted = settings.train_samples + settings.test_samples
    n = min(wanted, len(data))
    train = n * settings.train_samples // wanted
    if train < LEAST_CODES or train == n:
        raise UserError(
            f"the {n:,} pictures that the data set has for --train-samples {settings.train_samples} and --test-samples "
            f"{settings.test_samples} leave {train} and {n - train}, and at least {LEAST_CODES} and 1 are needed: "
            "change their ratio"
        )
    chosen = torch.randperm(len(data), generator=seeded(settings.seed, "codes"))[:n]
    gaussian = hasattr(model, "posterior_of")

    def read(indices: Tensor) -> Tensor:
        images = from_uint8(data.images(indices)).to(device)
        if not gaussian:
            return model.encode(images).double()
        mean, log_variance = model.posterior_of(images)  # type: ignore[attr-defined]
        divergence = (mean.square() + log_variance.exp() - log_variance - 1) / 2
        return torch.cat([mean.double(), divergence.double()], dim=1)

    found = team.map("codes", read, chosen)
    codes, divergence = found.tensor_split(2, dim=1) if gaussian else (found, found[:, :0])
    if not bool(codes.isfinite().all()):
        raise UserError("the codes are not finite: the training has diverged; score an earlier step with --checkpoint")
    variance = codes.var(dim=0)
    return {
        "codes": codes.float().numpy(),
        "factors": data.factors(chosen).numpy(),
        "indices": chosen.numpy(),
        "train": np.array(train),
        "variance": variance.numpy(),
        "kl": divergence.mean(0).numpy(),
        "active": (variance > INACTIVE).numpy(),
    }


def relate(codes: Json, directions: Json, gap: MIG, factors: Sequence[str], latents: Sequence[int]) -> None:
    """Name every code by the direction that moves it alone, and tell of every direction what its code knows.

    Args:
        codes: which of them are in use; gets their names.
        directions: the report's; those that a factor goes with get its name.
        gap: MIG of the codes.
        factors: names of the factors.
        latents: which latent each code is.
    """
    entropy, information = gap.entropy, gap.mutual_information
    shares = np.divide(information, entropy, out=np.zeros_like(information), where=entropy > 0)
    codes["names"] = [f"code {j}" for j in range(len(shares))]
    places = {latent: j for j, latent in enumerate(latents)}
    for entry in directions["all"]:
        if entry["latent"] not in places:
            continue
        j = places[entry["latent"]]
        codes["names"][j] = entry["name"]
        best = int(shares[j].argmax())
        if shares[j, best] >= TELLING and codes["active"][j]:
            entry |= {"factor": factors[best], "share": float(shares[j, best])}


def checked(images: Tensor) -> Tensor:
    """Generated pictures as uint8 on the CPU.

    Raises:
        UserError: where they are not finite.
    """
    if not bool(images.isfinite().all()):
        raise UserError(
            "the generated pictures are not finite: the training has diverged; score an earlier step with --checkpoint"
        )
    return to_uint8(images)
