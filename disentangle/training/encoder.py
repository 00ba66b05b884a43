"""The encoder that was trained for a run's generator, as it lies in the run folder.

::

    encoder/checkpoints/00001000/   after step 1000 of its training: encoder/, trainer.safetensors, trainer.json,
                                    encoder.json: what it belongs to, how it was trained, how well it does
    encoder/pool/, encoder/test/    pictures of a generator too slow to make new ones in every step; may be removed
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from disentangle.errors import UserError, check_seed
from disentangle.training.optimizers import AdamConfig

RECORD = "encoder.json"
"""Name of the file that a checkpoint of an encoder has besides those that every checkpoint has."""


@dataclass(frozen=True)
class EncoderSettings:
    """How an encoder is trained.

    Attributes:
        steps: training steps.
        batch_size: pictures of a step.
        learning_rate: of Adam; it falls to 0 over the second half of the steps.
        width: channels of the encoder's first features.
        pool: make so many pictures once, and train on these; 0 for new ones in every step.
        test_pictures: pictures, made for the purpose, on which the regression error is measured.
        seed: decides the initial weights and all pictures.
        precision: type of the arithmetic in training: bfloat16 autocast, or float32.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    steps: int = 3_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    width: int = 32
    pool: int = 0
    test_pictures: int = 1_000
    seed: int = 0
    precision: str = "float32"

    def check(self) -> None:
        """Raise :class:`UserError` where a number makes no sense."""
        check_seed(self.seed)
        for name, least in (("steps", 1), ("batch_size", 1), ("pool", 0), ("test_pictures", 2)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")
        if 0 < self.pool < self.batch_size:
            raise UserError(f"--pool must be 0 or at least the batch of {self.batch_size}, got {self.pool}")
        self.optimizer.check()

    @property
    def optimizer(self) -> AdamConfig:
        """The optimiser."""
        return AdamConfig(learning_rate=self.learning_rate, betas=(0.9, 0.999), decay=0.5)


@dataclass(frozen=True)
class EncoderRecord:
    """What ``encoder.json`` holds.

    Attributes:
        weights: hash of the weights of the generator that it was trained for …
        checkpoint: … which are those after this step of the generator's training.
        step: steps of its own training that it has behind it.
        settings: how it is trained.
        latents: which latent of the generator each of the ``d`` codes is.
        names: of the codes.
        r2: of each code, the share of its variance that the encoder knows, measured on ``test_pictures`` new pictures:
            1 where it makes no mistake, 0 where it does no better than the mean; slightly below by chance.
        mse: of each code, the mean squared error, in units of the prior's variance.
        version: of this file.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    weights: str
    checkpoint: int
    step: int
    settings: EncoderSettings
    latents: tuple[int, ...]
    names: tuple[str, ...]
    r2: tuple[float, ...]
    mse: tuple[float, ...]
    version: int = 1

    @property
    def mean_r2(self) -> float:
        """Mean over the codes."""
        return sum(self.r2) / len(self.r2)

    @property
    def mean_mse(self) -> float:
        """Mean over the codes."""
        return sum(self.mse) / len(self.mse)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, the means included."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return values | {"mean_r2": self.mean_r2, "mean_mse": self.mean_mse}

    @staticmethod
    def read(path: Path) -> "EncoderRecord":
        """Read a file that holds what :meth:`to_dict` returned.

        Raises:
            UserError: where it is missing, damaged or of another version.
        """
        try:
            values = json.loads(path.read_text())
            for derived in ("mean_r2", "mean_mse"):
                values.pop(derived)
            record: EncoderRecord = _ADAPTER.validate_python(values)
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path} is damaged or of another version: {reason}") from None
        return record


_ADAPTER = TypeAdapter(EncoderRecord)
