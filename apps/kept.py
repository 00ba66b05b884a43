"""Real pictures that were inverted, as a run keeps them: with them links to their edits go on working."""

import hashlib
import json
from dataclasses import dataclass
from shlex import quote

import safetensors
import safetensors.torch
from torch import Tensor

from disentangle.errors import UserError
from disentangle.training.files import write_atomic
from disentangle.training.run import Run


@dataclass(frozen=True, eq=False)
class KeptPicture:
    """A real picture that was inverted: kept in the run, so that links to its edits go on working.

    Attributes:
        latents: ``(1, d)`` float32, what the generator makes it from.
        original: uint8 ``(c, h, w)``, the picture as it was given, at the generator's size.
        weights: hash of the weights it was inverted with.
        error: root of the mean squared difference of the two, for pictures in [-1, 1].
    """

    latents: Tensor
    original: Tensor
    weights: str
    error: float


def keep_picture(run: Run, kept: KeptPicture) -> str:
    """Write an inverted picture into the run's ``pictures``.

    Returns:
        Its name: the first digits of a hash of what is written.
    """
    tensors = {"latents": kept.latents.cpu().float().contiguous(), "original": kept.original.cpu().contiguous()}
    described = json.dumps({"weights": kept.weights, "error": kept.error})
    data = safetensors.torch.save(tensors, {"picture": described})
    name = hashlib.sha256(data).hexdigest()[:16]
    write_atomic(run.path / "pictures" / f"{name}.safetensors", data)
    return name


def pictures(run: Run) -> list[str]:
    """Names of the inverted pictures that are kept in a run, the newest first."""
    files = (run.path / "pictures").glob("*.safetensors")
    return [file.stem for file in sorted(files, key=lambda file: (-file.stat().st_mtime, file.name))]


def load_picture(run: Run, name: str, weights: str | None = None) -> KeptPicture:
    """Read what :func:`keep_picture` wrote.

    Args:
        run: whose.
        name: of the picture.
        weights: hash of the run's weights, where it is known already.

    Raises:
        UserError: where there is none of that name, it is damaged, or it belongs to other weights.
    """
    path = run.path / "pictures" / f"{name}.safetensors"
    again = f"invert it again with `disentangle invert {quote(str(run.path))} PICTURE`"
    try:
        with safetensors.safe_open(path, "pt") as file:
            described = json.loads(file.metadata()["picture"])
            latents, original = file.get_tensor("latents"), file.get_tensor("original")
        if latents.ndim != 2 or len(latents) != 1 or original.ndim != 3 or not bool(latents.isfinite().all()):
            raise ValueError(f"latents {tuple(latents.shape)}, picture {tuple(original.shape)}")
        kept = KeptPicture(latents.float(), original, str(described["weights"]), float(described["error"]))
    except FileNotFoundError:
        raise UserError(f"{run.path} has no inverted picture {name!r}: {again}") from None
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}): {again}") from None
    if kept.weights != (run.weights_hash() if weights is None else weights):
        raise UserError(f"{path} was inverted with other weights than {run.path} has now: {again}")
    return kept
