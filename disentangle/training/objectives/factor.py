"""FactorVAE: a discriminator tells codes from codes that were permuted, and so estimates their total correlation.

Kim and Mnih, "Disentangling by Factorising", ICML 2018, arXiv 1802.05983.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import LatentDiscriminator
from disentangle.training.objectives.base import STRICT, Batch, Update, check_weights, frozen, whole
from disentangle.training.objectives.vae import Codes, GaussianModel, GaussianVAELoss, draw_codes
from disentangle.training.optimizers import AdamConfig

if TYPE_CHECKING:  # a recipe holds a loss
    from disentangle.training.recipe import Recipe

DISCRIMINATOR = "latent_discriminator"


@dataclass(frozen=True)
class FactorVAELoss(GaussianVAELoss):
    r"""FactorVAE's objective: :math:`KL + \gamma\, TC`, the total correlation as its discriminator sees it.

    Kim and Mnih 2018, arXiv 1802.05983. The defaults are those published for dSprites. The discriminator learns from
    the same pictures as the VAE, from new draws of their codes, instead of from a second batch.

    Attributes:
        gamma: weight of the total correlation.
        discriminator_hidden: units of each of the discriminator's layers.
        discriminator_layers: their number.
        discriminator_optimizer: of the discriminator.
    """

    __pydantic_config__ = STRICT
    kind: Literal["factor-vae"] = "factor-vae"
    gamma: float = 35.0
    discriminator_hidden: int = 1000
    discriminator_layers: int = 6
    discriminator_optimizer: AdamConfig = field(
        default_factory=lambda: AdamConfig(learning_rate=1e-4, betas=(0.5, 0.9))
    )

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(gamma=self.gamma)
        for name in ("discriminator_hidden", "discriminator_layers"):
            if getattr(self, name) < 1:
                raise UserError(f"loss.{name} must be at least 1, got {getattr(self, name)}")
        self.discriminator_optimizer.check()

    def networks(self, product: nn.Module, recipe: "Recipe", channels: int) -> dict[str, nn.Module]:
        """The discriminator of codes."""
        size: int = product.latent_size  # type: ignore[assignment]
        shape = (self.discriminator_hidden, self.discriminator_layers)
        return {DISCRIMINATOR: LatentDiscriminator(size, *shape, seed=recipe.seed)}

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """The VAE's, then the discriminator's."""
        model: GaussianModel = networks["generator"]  # type: ignore[assignment]
        discriminator = networks[DISCRIMINATOR]
        return [
            self.update(networks, partial(self.regularise, discriminator=discriminator)),
            Update(DISCRIMINATOR, DensityRatioObjective(discriminator, model), self.discriminator_optimizer),
        ]

    def regularise(self, codes: Codes, step: int, discriminator: nn.Module) -> dict[str, Tensor]:
        """The divergence and the weighted total correlation, and ``tc``."""
        with frozen(discriminator):
            tc = discriminator(codes.latents).to(codes.latents.dtype).mean()
        return {"regulariser": codes.kl.sum(dim=1).mean() + self.gamma * tc, "tc": tc}


class DensityRatioObjective(nn.Module):
    """The discriminator's side: codes as they were drawn, against codes each of which comes from another picture."""

    def __init__(self, discriminator: nn.Module, model: GaussianModel) -> None:
        super().__init__()
        self.discriminator = discriminator
        # In a tuple, so that it is no sub-module: a distributed wrapper must see only what this objective trains.
        self._model = (model,)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, ``accuracy`` the share of codes that were told rightly, half
        where they are independent."""
        (model,) = self._model
        with torch.no_grad():
            joint = draw_codes(model, batch, "discriminator/posterior")
            noise = batch.draws.normal("discriminator/product", model.latent_size)
            product = joint.mean + noise * torch.exp(0.5 * joint.log_variance)
            keys = batch.draws.uniform("discriminator/permutation", model.latent_size)
            product = batch.draws.share(permute_codes(whole(product), whole(keys)))
        logits = self.discriminator(torch.cat([joint.latents, product])).to(batch.images.dtype)
        together, apart = logits.chunk(2)
        right = torch.cat([together > 0, apart <= 0]).to(logits.dtype)
        return {"loss": density_ratio_loss(together, apart), "accuracy": right.mean()}


def density_ratio_loss(joint: Tensor, product: Tensor) -> Tensor:
    """Cross-entropy in nats of telling codes from permuted ones; log 2 for a discriminator that knows nothing.

    Over all functions of the codes it is least for the log of the ratio of the two densities.

    Args:
        joint: ``(n,)``, log-odds of codes that were drawn together.
        product: ``(m,)``, log-odds of codes each of which comes from another picture.
    """
    return 0.5 * (F.softplus(-joint).mean() + F.softplus(product).mean())


def permute_codes(latents: Tensor, keys: Tensor) -> Tensor:
    """Permute each code across the batch, each by its own permutation: samples of the product of the marginals.

    Args:
        latents: ``(n, d)``.
        keys: ``(n, d)``, independent uniform numbers; column j's order is the permutation of code j.
    """
    return latents.gather(0, keys.argsort(dim=0))
