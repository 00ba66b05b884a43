r"""The h-space of a denoising U-Net: a few axes of its mid-block's output, along which codes steer what it draws.

Kwon, Jeong, Uh, "Diffusion Models Already Have a Semantic Latent Space", ICLR 2023, arXiv 2210.10960 (Asyrp), found
that a change of the mid-block's output means the same for every picture and at every step, and let it move only the
picture that a step predicts, not the noise. Haas et al., "Discovering Interpretable Directions in the Semantic Latent
Space of Diffusion Models", arXiv 2303.11073, take principal components for directions: those of a whole trajectory's
outputs as one long vector, centred, so that a direction is a vector of its own at each step; added to the output, it
moves picture and noise alike, and predictions are not clipped (renhaa/semantic-diffusion).

What is here is akin to theirs, not the same: one set of axes serves all steps, the principal components of the outputs'
average over the steps, each step's brought to unit total variance first (:func:`persistent_axes`). By default codes
replace the coordinates along the axes rather than being added to them; they move the predicted picture alone, as
Asyrp's changes do; and the schedule says whether predictions are clipped.
"""

import torch
from torch import Tensor, nn

from disentangle.errors import UserError

STEERINGS = ("replace", "add")
"""How codes steer: they replace what the network says along the axes, or are added to it."""


class HSpace(nn.Module):
    r"""Axes of the mid-block's output, common to all sampling steps, and where it lies along them at each.

    With axes :math:`V`, means :math:`\mu_t` and spreads :math:`\sigma_t` along them, codes :math:`z` replace the
    coordinates, :math:`h_t \leftarrow h_t - V V^\top h_t + V (\mu_t + \sigma_t \circ z)`, so that along the axes
    they are distributed as they were; or they are added, :math:`h_t \leftarrow h_t + V (\sigma_t \circ z)`.

    Args:
        features: ``D``, the size of the mid-block's output, flattened.
        rank: ``q``, the number of axes, at most ``features``.
        steps: sampling steps.

    Attributes:
        basis: ``(q, D)``, orthonormal rows.
        mean: ``(steps, q)``.
        scale: ``(steps, q)``; zero, where nothing is steered, until axes are fitted.

    Raises:
        UserError: where ``rank`` is not in ``1 … features``.
    """

    basis: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, rank: int, steps: int) -> None:
        super().__init__()
        if not 1 <= rank <= features:
            raise UserError(f"codes must lie between 1 and {features}, the size of the mid-block's output, got {rank}")
        # Buffers, not parameters: they follow from the weights by `fit`, and no optimiser is to move them.
        self.register_buffer("basis", torch.eye(rank, features))
        self.register_buffer("mean", torch.zeros(steps, rank))
        self.register_buffer("scale", torch.zeros(steps, rank))

    def forward(self, h: Tensor, codes: Tensor, step: int, steering: str) -> Tensor:
        """Steer the mid-block's output.

        Args:
            h: ``(n, c, height, width)``.
            codes: ``(n, q)``, of unit variance.
            step: which sampling step, counted from 0.
            steering: one of :data:`STEERINGS`.
        """
        change = codes * self.scale[step]
        if steering == "replace":
            change = change + self.mean[step] - h.flatten(1) @ self.basis.mT
            change = change * (self.scale[step] > 0)
        return h + (change @ self.basis).view_as(h)

    def matrix(self) -> Tensor:
        """The map from codes to the output, averaged over the steps, ``(D, q)``: column ``j`` is axis ``j`` times its
        spread."""
        return (self.basis * self.scale.mean(0)[:, None]).mT

    @torch.no_grad()
    def fit(self, h: Tensor) -> None:
        """Take the axes from the output along sampled trajectories, by :func:`persistent_axes`.

        Args:
            h: ``(steps, n, D)``.

        Raises:
            ValueError: where there are too few trajectories, or a feature is not finite.
        """
        axes, mean, scale = persistent_axes(h, len(self.basis))
        self.basis.copy_(axes)
        self.mean.copy_(mean)
        self.scale.copy_(scale)


def persistent_axes(h: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The axes along which whole trajectories differ: principal components of their average over the steps.

    Every step counts alike: its features are centred and brought to unit total variance first. In float64; the sign of
    an axis is such that its largest entry is positive.

    Args:
        h: features ``(steps, n, D)`` of ``n`` trajectories, ``n > rank``.
        rank: ``q``, how many axes.

    Returns:
        The axes, orthonormal rows ``(q, D)`` in descending order of their variance, and mean and standard deviation
        (unbiased) along them at each step, ``(steps, q)`` each.

    Raises:
        ValueError: where there are no more trajectories than axes, or a feature is not finite.
    """
    n = h.shape[1]
    if not bool(h.isfinite().all()):
        raise ValueError("the mid-block's output is not finite: NaN or infinite")
    if n <= rank:
        raise ValueError(f"{rank} axes need more than {rank} trajectories, got {n}")
    total, spreads = torch.zeros(h.shape[1:], dtype=torch.float64, device=h.device), []
    for step in h.double():
        centred = step - step.mean(0)
        total += centred / centred.square().sum().sqrt().clamp_min(1e-300)
    axes = torch.linalg.svd(total, full_matrices=False).Vh[:rank]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * torch.sign(largest)
    for step in h:
        spreads.append(torch.std_mean(step.double() @ axes.mT, dim=0))
    return axes, torch.stack([mean for _, mean in spreads]), torch.stack([std for std, _ in spreads])
