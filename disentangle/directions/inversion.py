"""From a picture back to latents: what the generator makes the picture from, as nearly as it can."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from disentangle.directions.methods import Progress
from disentangle.directions.methods.base import within
from disentangle.generator import Generator

Distance = Callable[[Tensor, Tensor], Tensor]
Encode = Callable[[Tensor], Tensor]

DRAWS = 16
"""Latents to choose a start from, where the encoder does not say all."""
PLATEAU, RELEVANT = 30, 1e-4
"""A search ends where so many steps have lowered the loss by less than this share of it: a picture of another kind than
the generator's is as near then as it will be."""


@dataclass(frozen=True, eq=False)
class Inversion:
    """Latents of pictures.

    Attributes:
        latents: ``(n, d)``, on the generator's device.
        errors: ``(n,)``: root of the mean squared difference of pixels between a picture and what its latents make,
            for pictures in [-1, 1]; on the CPU, as the following.
        starts: ``(n, d)``: where the optimisation began: with an encoder that knows every latent, its codes.
        start_errors: ``(n,)``: the error there.
        history: ``(n, steps + 1)``: the error before each step and after the last; NaN after a search has ended.
        steps: ``(n,)`` int64: how many each search took, fewer than allowed where the loss had stopped falling.
    """

    latents: Tensor
    errors: Tensor
    starts: Tensor
    start_errors: Tensor
    history: Tensor
    steps: Tensor


def invert(
    generator: Generator,
    images: Tensor,
    *,
    encode: Encode | None = None,
    distance: Distance | None = None,
    steps: int = 200,
    learning_rate: float = 0.05,
    perceptual_weight: float = 0.01,
    prior_weight: float = 1e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Inversion:
    r"""Find latents that make given pictures, by gradient descent on the latents.

    What is minimised over the latents :math:`z` of a picture :math:`x` is the mean squared difference of pixels, the
    distance times its weight, and :math:`w \, |z|^2 / d`. The last is the prior's: up to a constant,
    :math:`|z|^2 / 2` is minus the logarithm of its density. It keeps latents that the picture says nothing about where
    they were likely anyway, so that an edit starts from a place that the generator knows.

    Source: optimisation of latents from an encoder's guess, Zhu, Krähenbühl, Shechtman, Efros, "Generative Visual
    Manipulation on the Natural Image Manifold", ECCV 2016, arXiv 1609.03552; a perceptual term beside the pixels,
    Abdal, Qin, Wonka, "Image2StyleGAN", ICCV 2019, arXiv 1904.03189.

    Every picture is inverted alone: the result does not depend on which others there are.

    Args:
        generator: whose latents.
        images: ``(n, c, h, w)`` in [-1, 1], as large as the generator's.
        encode: pictures to latents ``(n, d)``, NaN for those it knows nothing about, which are drawn; all are drawn
            where it is ``None``. Of several draws, and the mean, the best is where the optimisation starts.
        distance: two batches of pictures to distances ``(n,)``, differentiable; none is taken if ``None``.
        steps: of Adam at most, with a rate that falls to zero as half a cosine wave; 0 for the start alone. A search
            ends before where :data:`PLATEAU` of them have lowered the loss by less than :data:`RELEVANT` of it.
        learning_rate: of the first step, in standard deviations of the latents.
        perceptual_weight: of the distance.
        prior_weight: ``w``.
        seed: what the starts are drawn from.
        progress: told the share done, in [0, 1], and what is being done; raising from it ends the work.

    Returns:
        Of each picture the best latents that were passed: with the least sum of the terms, never worse in it than the
        start.

    Raises:
        ValueError: where the pictures have another size than the generator's, or a number makes no sense.
    """
    if steps < 0 or learning_rate <= 0 or perceptual_weight < 0 or prior_weight < 0:
        raise ValueError("expected steps and weights of at least 0, and a learning rate above it")
    with torch.no_grad():
        drawn = generator.sample_latents(DRAWS, torch.Generator().manual_seed(seed))
        made = tuple(generator.synthesize(drawn[:1]).shape[1:])
    if images.ndim != 4 or len(images) == 0 or tuple(images.shape[1:]) != made:
        raise ValueError(f"expected pictures (n, {', '.join(map(str, made))}), got shape {tuple(images.shape)}")
    drawn = torch.cat([torch.zeros_like(drawn[:1]), drawn])
    n, results = len(images), []
    for i, image in enumerate(images.to(drawn).split(1)):
        loss = _Loss(generator, image, distance, perceptual_weight, prior_weight)
        prefix = "" if n == 1 else f"picture {i + 1} of {n}: "
        told = None if progress is None else within(progress, i / n, 1 / n, prefix)
        codes = None if encode is None else encode(image).detach().to(drawn)
        start = _start(loss, drawn, codes, told)
        results.append((start, *_descend(loss, start, steps, learning_rate, told)))
    starts, latents, errors, history = (list(parts) for parts in zip(*results))
    tracks = torch.tensor([each + [math.nan] * (steps + 1 - len(each)) for each in history], dtype=torch.float64)
    taken = torch.tensor([len(each) - 1 for each in history])
    ends = torch.tensor(errors, dtype=torch.float64)
    return Inversion(torch.cat(latents), ends, torch.cat(starts), tracks[:, 0], tracks, taken)


class _Loss:
    """What is minimised, and the error of pixels in it."""

    def __init__(
        self, generator: Generator, image: Tensor, distance: Distance | None, perceptual: float, prior: float
    ) -> None:
        self.generator, self.image, self.distance = generator, image, distance
        self.perceptual, self.prior = perceptual, prior

    def __call__(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the mean squared error of each of ``(n, d)`` latents."""
        made = self.generator.synthesize(latents)
        image = self.image.expand_as(made)
        squared = (made - image).square().flatten(1).mean(1)
        total = squared + self.prior * latents.square().mean(1)
        if self.distance is not None and self.perceptual:
            total = total + self.perceptual * self.distance(made, image)
        return total, squared


@torch.no_grad()
def _start(loss: _Loss, drawn: Tensor, codes: Tensor | None, told: Progress | None) -> Tensor:
    """The best of the latents ``(m, d)``, with the encoder's codes in the places that it knows; ``(1, d)``."""
    if told is not None:
        told(0.0, "choosing where to start")
    if codes is not None:
        known = ~codes.isnan()
        if bool(known.all()):
            return codes
        drawn = torch.where(known, codes, drawn)
    # One at a time: pictures of many latents need not fit into memory at once.
    losses = torch.cat([loss(latents)[0] for latents in drawn.split(1)])
    return drawn[[int(torch.nan_to_num(losses, nan=math.inf).argmin())]]


def _descend(
    loss: _Loss, start: Tensor, steps: int, learning_rate: float, told: Progress | None
) -> tuple[Tensor, float, list[float]]:
    """The best latents on the way, their error, and the errors on the way."""
    latents = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], lr=learning_rate)
    best, least, error, history = start, math.inf, math.nan, []
    lowest: list[float] = []  # of the losses up to each step
    for step in range(steps + 1):
        with torch.enable_grad():
            total, squared = loss(latents)
        history.append(float(squared.detach()) ** 0.5)
        if float(total.detach()) < least:
            best, least, error = latents.detach().clone(), float(total.detach()), history[-1]
        lowest.append(least)
        if step == steps or _is_level(lowest):
            break
        if told is not None:
            told(step / steps, f"step {step} of {steps}, error {history[-1]:.4f}")
        optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        (latents.grad,) = torch.autograd.grad(total.sum(), latents)
        optimizer.step()
    if told is not None:
        level = f", no nearer after {len(lowest) - 1} steps" if len(lowest) <= steps else ""
        told(1.0, f"error {error:.4f}{level}")
    return best, error, history


def _is_level(lowest: list[float]) -> bool:
    """Whether the last steps have not lowered the loss by a share that is worth them."""
    if len(lowest) <= PLATEAU:
        return False
    before, now = lowest[-1 - PLATEAU], lowest[-1]
    return before - now < RELEVANT * abs(before)
