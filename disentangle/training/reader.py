"""Training a network that reads a data set's factors off pictures, once a data set: kept in the cache of data sets.

It is what tells which factor a latent direction moves. A training is a function of the pictures and the settings, and
takes about a minute on one core; one that is stopped leaves nothing behind.

::

    readers/scenes-0123456789abcdef/    config.json and weights of the network; reader.json: whose it is, how good
"""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.data import GridSet, ImageSet, LabelledSet
from disentangle.data.files import cache
from disentangle.data.identity import content_of, describe
from disentangle.data.scales import scale_of
from disentangle.directions import Progress, largest_change
from disentangle.errors import UserError, check_seed
from disentangle.models import FactorReader
from disentangle.pictures import from_uint8
from disentangle.training.draws import Draws, Order, seeded
from disentangle.training.files import folder_atomic
from disentangle.training.networks import hash_network, load_network
from disentangle.training.optimizers import AdamConfig

logger = logging.getLogger(__name__)


VERSION = 1
"""Of how readers are trained and kept: what an older one wrote is not used."""

RECORD = "reader.json"

BATCH = 250
"""Pictures that are read or drawn at a time, where it is not for training."""

MOST = 10
"""Values of a factor that are told apart; neighbours of finer factors count as one."""

TOGETHER = 3
"""Pictures among which a change is looked for, as many as positions along a direction."""


@dataclass(frozen=True)
class ReaderSettings:
    """How a reader is trained.

    Attributes:
        pictures: drawn once, to learn from …
        test_pictures: … and others, on which its accuracy is measured.
        steps: training steps.
        batch_size: pictures of a step.
        learning_rate: of Adam; it falls to 0 over the second half of the steps.
        members: a half of the pictures are averages of 2 to so many that differ in some factors.
        noise: largest standard deviation of the noise on a picture in [-1, 1]; of each picture a random share of that.
        width: channels of the network's first features.
        hidden: size of its dense layer.
        seed: decides the initial weights, the pictures and their order.
    """

    pictures: int = 12_000
    test_pictures: int = 2_000
    steps: int = 1_500
    batch_size: int = 64
    learning_rate: float = 2e-3
    members: int = 8
    noise: float = 0.05
    width: int = 16
    hidden: int = 128
    seed: int = 0

    def check(self) -> None:
        """Raise :class:`UserError` where a number makes no sense."""
        check_seed(self.seed)
        for name in ("pictures", "test_pictures", "steps", "batch_size", "members", "width", "hidden"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} of a reader must be at least 1, got {getattr(self, name)}")
        if self.noise < 0:
            raise UserError(f"noise of a reader must be at least 0, got {self.noise}")
        self.optimizer.check()

    @property
    def optimizer(self) -> AdamConfig:
        """The optimiser."""
        return AdamConfig(learning_rate=self.learning_rate, betas=(0.9, 0.99), decay=0.5)


@dataclass(frozen=True, eq=False)
class Reader:
    """A trained reader and how well it reads: pictures ``(n, c, h, w)`` in [-1, 1] to the probabilities ``(n, values)``
    of each factor's values.

    Attributes:
        network: the network, in evaluation mode.
        factors: names of the ``f`` factors that it reads.
        accuracy: ``(f,)``, the share of new pictures that it gets right.
        chance: ``(f,)``, the share of the most frequent value.
        noise: ``(f,)``, how often it sees the factor change among three new pictures that have it in common.
        scales: of each factor where its values lie, ``(values,)`` from 0 to 1; ``None`` where they are no ordered
            numbers.
    """

    network: FactorReader
    factors: tuple[str, ...]
    accuracy: Tensor
    chance: Tensor
    noise: Tensor
    scales: tuple[Tensor | None, ...] = ()

    def __call__(self, images: Tensor) -> list[Tensor]:
        return self.network.read(images)

    @property
    def readable(self) -> Tensor:
        """``(f,)`` in [0, 1]: of what chance leaves open, the share that it gets right."""
        return ((self.accuracy - self.chance) / (1 - self.chance).clamp_min(1e-12)).clamp(0, 1)


def factor_reader(
    data: ImageSet,
    settings: ReaderSettings | None = None,
    *,
    folder: Path | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Reader | None:
    """The reader of a data set's factors: from the cache, or trained now and kept there.

    Args:
        data: any set of pictures.
        settings: how it is trained.
        folder: where readers are kept; by default ``readers`` in the cache of data sets.
        device: where to read, and to train.
        progress: is told the share that is done and what is being done. What it raises ends the training.

    Returns:
        ``None`` where the set has fewer than two factors: pictures without labels, or classes, of which there is
        nothing to tell apart.

    Raises:
        UserError: where a setting makes no sense, or the training fails.
    """
    settings = settings or ReaderSettings()
    settings.check()
    if not isinstance(data, LabelledSet) or len(Labels(data).names) < 2:
        return None
    key = _key(data, settings)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = (cache("readers") if folder is None else folder) / f"{data.name}-{digest[:16]}"
    reader = _load(path, key, device)
    if reader is None:
        reader = train_reader(data, settings, device, progress)
        try:
            _save(path, key, reader)
        except UserError as error:  # what was trained is of use all the same
            logger.warning("the reader of the factors is not kept for another time: %s", error)
    return replace(reader, scales=Labels(data).scales)


def train_reader(
    data: LabelledSet,
    settings: ReaderSettings,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Reader:
    """Train a reader; see :func:`factor_reader`."""
    tell = progress or (lambda share, text: None)
    chosen = torch.randperm(len(data), generator=seeded(settings.seed, "reader"))
    tested = min(settings.test_pictures, max(1, len(chosen) // 5))
    held_out, chosen = chosen[:tested], chosen[tested : tested + settings.pictures]
    if len(chosen) == 0:
        raise UserError(f"the data set {data.name!r} has {len(data)} picture: a reader needs two at least")
    labels = Labels(data)
    pictures, targets = _to_learn(
        data, chosen, labels, settings, lambda share: tell(0.2 * share, f"drawing pictures of {data.name}")
    )
    network = FactorReader(data.size, data.channels, labels.classes, settings.width, settings.hidden, settings.seed)
    network.to(device=device, memory_format=torch.channels_last).train()
    optimizer = settings.optimizer.build([{"params": list(network.parameters())}], network)
    order = Order(len(chosen), settings.seed)
    for step in range(1, settings.steps + 1):
        tell(0.2 + 0.8 * (step - 1) / settings.steps, f"learning to read {data.name}'s factors")
        batch = order.batch(step, settings.batch_size)
        images = worn(from_uint8(pictures[batch]), settings.noise, Draws(settings.seed, step, len(batch)))
        loss = _step(step, settings, network, optimizer, images.to(device), targets[batch].to(device))
    if not math.isfinite(loss):
        raise UserError(f"the training of the reader has diverged: its learning rate {settings.learning_rate} is large")
    # In the memory format of a loaded one, whose numbers are then the same.
    network.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    values = labels.of(data.factors(held_out))
    return Reader(network, labels.names, *_tested(network, data, held_out, values, device))


class Labels:
    """What is read of a set's factors: of those that have several values, the value, or a group of neighbours.

    Attributes:
        columns: places of the ``f`` factors among the set's.
        names: their names.
        classes: how many classes of each are told apart.
        scales: where the classes lie, from 0 to 1, of factors that are ordered numbers: the mean of its values.
    """

    def __init__(self, data: LabelledSet) -> None:
        self.columns = [column for column, size in enumerate(data.factor_sizes) if size > 1]
        self.names = tuple(data.factor_names[column] for column in self.columns)
        self._sizes = torch.tensor([data.factor_sizes[column] for column in self.columns])
        self.classes = tuple(_classes(size) for size in self._sizes.tolist())
        words = [data.factor_values[column] for column in self.columns]
        self.scales = tuple(_scale(values, count) for values, count in zip(words, self.classes, strict=True))

    def of(self, factors: Tensor) -> Tensor:
        """Classes ``(n, f)`` of all factors ``(n, k)`` of pictures."""
        return factors[:, self.columns] * torch.tensor(self.classes) // self._sizes

    def targets(self, factors: Tensor) -> Tensor:
        """The same as shares: ``(n, sum of classes)``, a 1 a factor."""
        one_hot = [F.one_hot(c, n) for c, n in zip(self.of(factors).unbind(1), self.classes, strict=True)]
        return torch.cat(one_hot, dim=1).float()


def _to_learn(
    data: LabelledSet, indices: Tensor, labels: Labels, settings: ReaderSettings, tell: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """Pictures, uint8, and what is to be read off each: shares of the classes.

    A generator that has not learned a factor makes an average of pictures that differ in it, of which a network that
    has seen the data alone says anything, and is sure of it. So every other picture here is such an average, of which
    the factors in question are to be read as open. In a set that has not all combinations of factors it is one of
    any pictures.
    """
    draw = seeded(settings.seed, "averages")
    pictures: list[Tensor] = []
    targets: list[Tensor] = []
    for part in indices.split(BATCH):
        tell(len(pictures) * BATCH / len(indices))
        images, shares = data.images(part), labels.targets(data.factors(part))
        half = len(part) // 2
        if half and settings.members > 1:
            members = int(torch.randint(2, settings.members + 1, (), generator=draw))
            others = _relatives(data, part[:half], members, draw)
            images[:half] = data.images(others).unflatten(0, (half, members)).float().mean(1).round().to(torch.uint8)
            shares[:half] = labels.targets(data.factors(others)).unflatten(0, (half, members)).mean(1)
        pictures.append(images)
        targets.append(shares)
    return torch.cat(pictures), torch.cat(targets)


def _relatives(data: LabelledSet, indices: Tensor, members: int, draw: torch.Generator) -> Tensor:
    """Indices ``(n * members,)`` of pictures that share some factors, drawn at random, with each of ``(n,)``."""
    n = len(indices)
    anyone = torch.randint(len(data), (n, members), generator=draw)
    if not isinstance(data, GridSet):
        return torch.cat([indices[:, None], anyone[:, 1:]], dim=1).flatten()
    factors = data.factors(indices)[:, None].expand(-1, members, -1)
    open_ones = torch.rand(n, 1, factors.shape[2], generator=draw) < 0.5
    mixed = torch.where(open_ones, data.factors(anyone.flatten()).unflatten(0, (n, members)), factors)
    return data.index(mixed.flatten(0, 1))


def worn(images: Tensor, noise: float, draws: Draws) -> Tensor:
    """Pictures ``(n, c, h, w)`` in [-1, 1], each blurred and with noise by a random share."""
    blur, rough = draws.uniform("blur", 1, 1, 1), noise * draws.uniform("rough", 1, 1, 1)
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.lerp(images, soft, blur) + rough * draws.normal("noise", *images.shape[1:])


def _step(
    step: int,
    settings: ReaderSettings,
    network: FactorReader,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
) -> float:
    """One update; its loss, the sum of the factors' cross-entropies in nats."""
    for group in optimizer.param_groups:
        group["lr"] = settings.optimizer.rate_at(step, settings.steps)
    optimizer.zero_grad(set_to_none=True)
    logits = network(images.contiguous(memory_format=torch.channels_last))
    parts = zip(logits, targets.split(list(network.classes), dim=1), strict=True)
    loss = torch.stack([F.cross_entropy(each, shares) for each, shares in parts]).sum()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _tested(
    network: FactorReader, data: ImageSet, indices: Tensor, labels: Tensor, device: torch.device | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Accuracy, chance and noise of each factor on pictures that the network has not seen."""
    read = [network.read(from_uint8(data.images(part)).to(device)) for part in indices.split(BATCH)]
    accuracy, chance, noise = [], [], []
    for f, parts in enumerate(zip(*read, strict=True)):
        probabilities, values = torch.cat(parts).cpu(), labels[:, f]
        accuracy.append(float((probabilities.argmax(1) == values).double().mean()))
        chance.append(float(values.bincount().max()) / len(values))
        groups = [probabilities[values == value] for value in values.unique()]
        alike = [group[: len(group) // TOGETHER * TOGETHER].unflatten(0, (-1, TOGETHER)) for group in groups]
        changes = torch.cat([largest_change(each) for each in alike if len(each)] or [torch.zeros(1)])
        noise.append(float(changes.mean()))
    return torch.tensor(accuracy), torch.tensor(chance), torch.tensor(noise)


def _classes(size: int) -> int:
    """How many classes to make of a factor's values: equally many values in each, if there is such a number."""
    if size <= MOST:
        return size
    return next((count for count in range(MOST, MOST // 2 - 1, -1) if size % count == 0), MOST - 2)


def _scale(values: Sequence[str], classes: int) -> Tensor | None:
    """Where the classes of a factor lie, if its values are ordered numbers."""
    scale = scale_of(values)
    if scale is None:
        return None
    members = torch.arange(len(values)) * classes // len(values)
    return torch.stack([scale[members == each].mean() for each in range(classes)])


def _key(data: LabelledSet, settings: ReaderSettings) -> dict[str, Any]:
    """All that decides a reader, as JSON holds it."""
    described = describe(data) | {"content": content_of(data), "values": list(data.factor_sizes)}
    return {"version": VERSION, "data": described, "settings": asdict(settings)}


def _save(path: Path, key: dict[str, Any], reader: Reader) -> None:
    """Put a reader into its place, unless another process was faster."""
    if _load(path, key, None) is not None:
        return
    shutil.rmtree(path, ignore_errors=True)  # it is damaged
    with folder_atomic(path) as partial:
        reader.network.save_pretrained(partial, safe_serialization=True)
        measured = {name: getattr(reader, name).tolist() for name in ("accuracy", "chance", "noise")}
        record = {"key": key, "weights": hash_network(partial), "factors": list(reader.factors)} | measured
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def _load(path: Path, key: dict[str, Any], device: torch.device | None) -> Reader | None:
    """The reader at ``path``; ``None`` where there is none, or it is damaged or of other settings."""
    try:
        record = json.loads((path / RECORD).read_text())
        if record["key"] != key or record["weights"] != hash_network(path):
            return None
        network = load_network(path)
        accuracy, chance, noise = (torch.tensor(record[name]) for name in ("accuracy", "chance", "noise"))
        factors = tuple(record["factors"])
    except (OSError, ValueError, KeyError, TypeError):  # a UserError is a ValueError
        return None
    if not isinstance(network, FactorReader) or {(len(factors),)} != {
        tuple(each.shape) for each in (accuracy, chance, noise)
    }:
        return None
    return Reader(network.to(device=device).eval().requires_grad_(False), factors, accuracy, chance, noise)
