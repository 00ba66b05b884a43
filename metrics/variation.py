"""Variation predictability: whether one sees in two pictures which latent was changed.

Zhu, Xu, Tao, "Learning Disentangled Representations with Latent Variation Predictability", ECCV 2020, arXiv 2007.12885.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor, nn
from torch.nn import functional

from disentangle.metrics.baselines import interval
from disentangle.metrics.common import Result
from disentangle.metrics.generators import Samples, pictures


@dataclass(frozen=True, eq=False)
class VariationPredictability(Result):
    """A variation predictability.

    Attributes:
        accuracies: ``(repeats,)``, each trained network's share of held-out pairs whose changed latent it knows.
        recall: ``(d,)``, of each latent, the share of its pairs that are known, over all repeats.
        chance: ``1/d``, what guessing gets.
        train: pairs that each network learned from.
        test: pairs that were held out.
        seed: of the first repeat.
    """

    accuracies: NDArray[np.float64]
    recall: NDArray[np.float64]
    chance: float
    train: int
    test: int
    seed: int

    @property
    def score(self) -> float:
        """The mean accuracy in [0, 1]; beside :attr:`chance`."""
        return float(self.accuracies.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over repeats, each with its own pairs and network; 0 of one."""
        return float(self.accuracies.std(ddof=1)) if len(self.accuracies) > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score: Student's over the repeats; of one repeat the binomial one over its pairs."""
        repeats = len(self.accuracies)
        if repeats == 1:
            low, high = binom.interval(0.95, self.test, self.score)
            return float(low / self.test), float(high / self.test)
        low, high = interval(0.0, (self.accuracies / np.sqrt(repeats)).tolist())
        return max(0.0, self.score + low), min(1.0, self.score + high)


def variation_predictability(
    generator: Samples,
    pairs: int = 10_000,
    seed: int = 0,
    *,
    train_share: float = 0.1,
    repeats: int = 3,
    epochs: int = 60,
    width: int = 64,
    learning_rate: float = 0.01,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> VariationPredictability:
    """How well a small network tells from the difference of two pictures which one latent they differ in.

    Pairs share all latents but one, which is drawn anew from the prior. The network (four convolutions with batch
    normalisation, pooled) learns from a tenth of the pairs with Adam, as published.

    The published code reports the best epoch on the test pairs, which even for noise lies above chance, and takes the
    largest entry of the signed difference for the changed latent, which is wrong where it fell. Here the last epoch is
    reported, on held-out pairs, with the chance level and the spread over repeats. Its command trains 200 epochs, its
    default is 60.

    Args:
        generator: has ``sample_latents``, ``synthesize`` and ``latent_size``.
        pairs: of pictures, at least 10.
        seed: of the first repeat; the others follow it.
        train_share: share of the pairs to learn from, in (0, 1).
        repeats: networks, each trained on pairs of its own.
        epochs: passes over the training pairs.
        width: channels of the first layer; 64 is the published one.
        learning_rate: Adam's.
        batch: pairs of a step.
        progress: called with the number of epochs done, over all repeats.

    Raises:
        ValueError: for arguments out of range, or a generator without latents.
    """
    latents = generator.latent_size
    train = round(pairs * train_share)
    if pairs < 10 or not 2 <= train < pairs or min(repeats, epochs, width, batch - 1, latents) < 1:
        raise ValueError(
            "expected at least 10 pairs, 2 of them to learn from and one to test, a repeat, an epoch, a width, a batch "
            f"of 2 and a latent, got {pairs}, {train_share}, {repeats}, {epochs}, {width}, {batch} and {latents}"
        )
    accuracies, hits, counts = [], np.zeros(latents), np.zeros(latents)
    for repeat in range(repeats):
        draw = torch.Generator().manual_seed(seed + repeat)
        differences, labels = _pairs(generator, pairs, batch, draw)
        scale = differences[:train].square().mean().sqrt()
        differences /= torch.where(scale > 0, scale, torch.ones_like(scale))
        network = _network(differences.shape[1], latents, width, draw).to(differences.device)
        optimizer = torch.optim.Adam(network.parameters(), learning_rate)
        for epoch in range(epochs):
            _epoch(network, optimizer, differences[:train], labels[:train], batch, draw)
            if progress is not None:
                progress(repeat * epochs + epoch + 1)
        right = _answers(network, differences[train:], batch) == labels[train:]
        accuracies.append(float(right.double().mean()))
        hits += np.bincount(labels[train:][right].cpu().numpy(), minlength=latents)
        counts += np.bincount(labels[train:].cpu().numpy(), minlength=latents)
    return VariationPredictability(
        f"last of {epochs} epochs on held-out pairs, {train:,} of {pairs:,} pairs to learn from, width {width}",
        np.array(accuracies),
        np.divide(hits, counts, out=np.zeros(latents), where=counts > 0),
        1 / latents,
        train,
        pairs - train,
        seed,
    )


@torch.no_grad()
def _pairs(generator: Samples, n: int, batch: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Differences of pictures ``(n, c, h, w)`` and the latent ``(n,)`` that each pair differs in."""
    differences, labels = [], []
    for start in range(0, n, batch):
        count = min(batch, n - start)
        a, b = (generator.sample_latents(count, draw) for _ in range(2))
        which = torch.randint(a.shape[1], (count,), generator=draw)
        changed = functional.one_hot(which, a.shape[1]).bool().to(a.device)
        before, after = pictures(generator, torch.cat([a, torch.where(changed, b, a)])).chunk(2)
        differences.append((after - before).float())
        labels.append(which.to(before.device))
    return torch.cat(differences), torch.cat(labels)


def _network(channels: int, classes: int, width: int, draw: torch.Generator) -> nn.Sequential:
    """The published network, its weights drawn from ``draw``."""

    def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    network = nn.Sequential(
        *block(channels, width, 7, 2),
        *block(width, width),
        nn.MaxPool2d(3, 2, 1),
        *block(width, 2 * width),
        *block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5  # PyTorch's own initialisation, from a generator
            nn.init.uniform_(layer.weight, -bound, bound, draw)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, draw)
    return network


def _epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, batch: int, draw: torch.Generator
) -> None:
    network.train()
    for rows in torch.split(torch.randperm(len(x), generator=draw).to(x.device), batch):
        if len(rows) > 1:  # of a single pair there is no batch to normalise by
            optimizer.zero_grad()
            functional.cross_entropy(network(x[rows]), labels[rows]).backward()
            optimizer.step()


@torch.no_grad()
def _answers(network: nn.Module, x: Tensor, batch: int) -> Tensor:
    network.eval()
    return torch.cat([network(part).argmax(dim=1) for part in torch.split(x, 8 * batch)])
