"""FactorVAE's discriminator of codes.

Kim and Mnih, "Disentangling by Factorising", ICML 2018, arXiv 1802.05983.
"""

from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.models.autoencoder import glorot
from disentangle.models.blocks import SLOPE, check_positive


class LatentDiscriminator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Tells codes of the aggregate posterior from codes drawn from the product of its marginals.

    Dense layers with leaky ReLUs of slope 0.2 and two logits, as published. Their difference is the log-odds that codes
    belong together; at the optimum it is the log of the ratio of the two densities, whose mean over the aggregate
    posterior is the total correlation.

    Args:
        latent_size: ``d``, number of codes.
        hidden: units of each layer.
        layers: number of hidden layers.
        seed: seed of the initial weights.

    Raises:
        UserError: where a number is below 1.
    """

    @register_to_config
    def __init__(self, latent_size: int = 10, hidden: int = 1000, layers: int = 6, seed: int = 0) -> None:
        super().__init__()
        check_positive(latent_size=latent_size, hidden=hidden, layers=layers)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            modules: list[nn.Module] = []
            for inputs, outputs in pairwise([latent_size, *[hidden] * layers]):
                modules += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE, inplace=True)]
            self.network = nn.Sequential(*modules, nn.Linear(hidden, 2))
            self.apply(glorot)

    def forward(self, latents: Tensor) -> Tensor:
        """Codes ``(n, d)`` to the log-odds ``(n,)`` that they were drawn together."""
        logits = self.network(latents)
        # Under autocast the logits are bfloat16, whose difference would lose what the two have in common.
        together, apart = (logits if logits.dtype == torch.float64 else logits.float()).unbind(1)
        return together - apart  # type: ignore[no-any-return]
