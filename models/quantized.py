"""Autoencoders whose codes take few values: QLAE and Tripod.

Their objectives are in :mod:`disentangle.training.objectives.quantized`.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.generator import Projection
from disentangle.models.autoencoder import (
    ConvDecoder,
    SubspaceDecoder,
    check_size,
    conv_encoder,
    count_codes,
    glorot,
    intensities,
)
from disentangle.models.blocks import check_channels, check_images, check_latents, check_positive
from disentangle.models.quantized_published import QLAEDecoder, QLAEEncoder, TripodDecoder, TripodEncoder
from disentangle.models.quantizers import nearest, straight_through

Decoder = SubspaceDecoder | ConvDecoder | QLAEDecoder | TripodDecoder
DECODERS = ("subspace", "conv", "published")
VALUES = {"QLAE": 10, "Tripod": 12}
"""Values of a code, as published."""
SMALL = 1e-6
"""Standard deviation that is taken for a code whose values all coincide."""


class QuantizedAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A deterministic encoder, codes that are snapped to the nearest of their own few values, and a decoder.

    ``decoder="subspace"`` and ``"conv"`` are the networks of :class:`disentangle.models.vae.GaussianVAE`, the encoder
    with one output a code, an order of magnitude smaller than the published ones; ``"published"`` is what the papers
    train: for QLAE twelve convolutions each way, the decoder's conditioned by the codes through instance norm; for
    Tripod eight residual blocks each way, conditioned likewise. What follows the small encoder's dense layer is as
    published: a ReLU for QLAE, a layer norm and a GELU for Tripod.

    The latents' unit is the standard deviation of a code's values about their mean, so that a latent drawn uniformly
    from them has mean 0 and variance 1, as every generator's here. The decoder itself sees the values.

    Args:
        size: height and width of the pictures, 32 or 64; 64 for the published networks.
        channels: 1 (grey) or 3 (RGB).
        decoder: ``"subspace"``, ``"conv"`` or ``"published"``.
        latent_size: number of codes, by default 10; published: twice as many as there are factors. That of the subspace
            decoder follows from its rank.
        values: that each code may take; by default as published, 10 for QLAE and 12 for Tripod.
        rank: ``q``, codes of each of the subspace decoder's layers: ``3 * rank`` codes at 32 and ``4 * rank`` at 64.
        base_channels: the subspace decoder's channels at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first two convolutions; the others have twice as many. The
            convolutional decoder mirrors them.
        hidden: size of the encoder's dense layer and of the convolutional decoder's first.
        seed: seed of the initial weights.
        unit_input: whether the encoder sees intensities in [0, 1], as in QLAE's program and not in Tripod's, instead
            of pictures in [-1, 1]: at the border, which its convolutions pad with 0, these differ.

    Raises:
        UserError: where ``size``, ``channels`` or ``decoder`` is none of the above, a number is below 1 or ``values``
            below 2, or ``latent_size`` is not what the subspace decoder has.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        decoder: Literal["subspace", "conv", "published"] = "subspace",
        latent_size: int | None = None,
        values: int | None = None,
        rank: int = 3,
        base_channels: int = 16,
        max_channels: int = 64,
        encoder_channels: int = 32,
        hidden: int = 256,
        seed: int = 0,
        unit_input: bool = False,
    ) -> None:
        super().__init__()
        check_size(size)
        check_channels(channels)
        _check_decoder(decoder, size)
        check_positive(
            rank=rank,
            base_channels=base_channels,
            max_channels=max_channels,
            encoder_channels=encoder_channels,
            hidden=hidden,
        )
        self.unit_input = unit_input
        self.latent_size = count_codes(decoder, latent_size, size, rank)
        self.levels = VALUES[type(self).__name__] if values is None else values
        if self.levels < 2:
            raise UserError(f"values must be at least 2, got {values}")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.encoder: nn.Sequential
            self.synthesis: Decoder
            if decoder == "published":
                self.encoder, self.synthesis = self._published(channels)
            else:
                kernels = (4, 4, 4, 4) if decoder == "subspace" else (4, 4, 2, 2)
                self.encoder = conv_encoder(size, channels, encoder_channels, kernels)
                dense = nn.Linear(2 * encoder_channels * 4 * 4, hidden)
                head = nn.Linear(hidden, self.latent_size)
                self.encoder.extend([nn.Flatten(), dense, *self._activation(hidden), head])
            if decoder == "subspace":
                self.synthesis = SubspaceDecoder(size, channels, rank, base_channels, max_channels)
            elif decoder == "conv":
                self.synthesis = ConvDecoder(size, channels, self.latent_size, encoder_channels, hidden)
                self.apply(glorot)
            self._start_values()

    def _published(self, channels: int) -> tuple[nn.Sequential, Decoder]:
        raise NotImplementedError

    def _activation(self, hidden: int) -> list[nn.Module]:
        """What follows the small encoder's dense layer, as in the published one."""
        return [nn.ReLU(inplace=True)]

    def _start_values(self) -> None:
        """Make the parameters that the values are computed from, where there are any."""

    def values(self) -> Tensor:
        """The values that each code may take, ``(d, k)``, in the decoder's units."""
        raise NotImplementedError

    def codes_of(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)`` before they are snapped, in the
        decoder's units."""
        raise NotImplementedError

    @torch.no_grad()
    def start_from(self, images: Tensor) -> None:
        """Let the decoder, where it is not a published one, begin with the mean intensity of these pictures.

        Otherwise the first steps, which look for it, push all pictures' codes the same way: of dark pictures Tripod's
        end at -1 and 1, where the hyperbolic tangent has no gradient to come back by.

        Args:
            images: ``(n, channels, h, w)`` in [-1, 1].
        """
        if isinstance(self.synthesis, SubspaceDecoder | ConvDecoder):
            *_, last = (m for m in self.synthesis.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
            intensity = intensities(images.mean(dim=(0, 2, 3)))
            last.bias.copy_(torch.logit(intensity, eps=0.01))  # type: ignore[union-attr]

    def _encoded(self, images: Tensor) -> Tensor:
        return self.encoder(intensities(images) if self.unit_input else images)  # type: ignore[no-any-return]

    def snap(self, codes: Tensor) -> Tensor:
        """The nearest value of each code ``(n, d)``, in the decoder's units, with a gradient to the values alone."""
        return nearest(codes, self.values())

    def _units(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(d,)`` of each code's values: zero and unit of its latent."""
        values = self.values().detach()
        return values.mean(1), values.std(1, correction=0).clamp(min=SMALL)

    def logits(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)``, snapped, to pictures before the last non-linearity: ``tanh(logits / 2)`` is the picture.
        The gradient passes the snapping as if it were not there."""
        zero, unit = self._units()
        codes = zero + unit * latents
        return self.synthesis(straight_through(codes, self.snap(codes)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to their reconstructions."""
        return self.synthesize(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``, snapped, in the latents' units."""
        check_images(images)
        zero, unit = self._units()
        codes = self.codes_of(images)
        return (straight_through(codes, self.snap(codes)) - zero) / unit

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents, each uniformly from its code's values."""
        device = generator.device if generator is not None else None
        index = torch.randint(self.levels, (n, self.latent_size), generator=generator, device=device)
        zero, unit = self._units()
        values = ((self.values().detach() - zero[:, None]) / unit[:, None]).expand(n, -1, -1)
        return values.gather(2, index.to(values.device)[:, :, None]).squeeze(2)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)``, snapped, to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        logits = self.logits(latents)
        return torch.tanh((logits if logits.dtype == torch.float64 else logits.float()) / 2)

    def projections(self) -> tuple[Projection, ...]:
        """The decoder's subspace layers, coarse to fine, or its first dense layer; as maps of the latents' units."""
        layers = self.synthesis.projections("synthesis")
        return tuple(replace(layer, matrix=partial(self._in_units, layer)) for layer in layers)

    def _in_units(self, layer: Projection) -> Tensor:
        return layer.matrix() * self._units()[1][layer.latents]


class QLAE(QuantizedAutoencoder):
    """The quantised-latent autoencoder: each code has learnable values of its own, initially from -0.5 to 0.5.

    Hsu, Dorrell, Whittington, Wu, Finn, "Disentanglement via Latent Quantization", NeurIPS 2023, arXiv 2305.18378.
    Networks and arguments are those of :class:`QuantizedAutoencoder`.
    """

    def _published(self, channels: int) -> tuple[nn.Sequential, Decoder]:
        return QLAEEncoder(channels, self.latent_size), QLAEDecoder(channels, self.latent_size)

    def _start_values(self) -> None:
        # Flat: a vector, which weight decay leaves alone; where it spares biases only, it knows the name. As published.
        self.codebook = nn.Parameter(torch.linspace(-0.5, 0.5, self.levels).repeat(self.latent_size))

    def values(self) -> Tensor:
        """The values that each code may take, ``(d, k)``, in the decoder's units."""
        return self.codebook.view(self.latent_size, self.levels)

    def codes_of(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)`` before they are snapped."""
        return self._encoded(images)


class Tripod(QuantizedAutoencoder):
    """Codes between -1 and 1, the hyperbolic tangent of the encoder's output, snapped to an even grid.

    Hsu, Hamid, Burns, Finn, Wu, "Tripod: Three Complementary Inductive Biases for Disentangled Representation
    Learning", ICML 2024, arXiv 2404.10282; the grid is that of Mentzer et al., "Finite Scalar Quantization", ICLR 2024,
    arXiv 2309.15505. Networks and arguments are those of :class:`QuantizedAutoencoder`.
    """

    def _published(self, channels: int) -> tuple[nn.Sequential, Decoder]:
        return TripodEncoder(channels, self.latent_size), TripodDecoder(channels, self.latent_size)

    def _activation(self, hidden: int) -> list[nn.Module]:
        return [nn.LayerNorm(hidden), nn.GELU("tanh")]

    def values(self) -> Tensor:
        """The values that each code may take, ``(d, k)``, in the decoder's units."""
        grid = torch.linspace(-1, 1, self.levels, dtype=torch.float64)
        return grid.to(next(self.synthesis.parameters())).expand(self.latent_size, -1)

    def codes_of(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)`` before they are snapped."""
        return torch.tanh(self._encoded(images))


def _check_decoder(decoder: str, size: int) -> None:
    if decoder not in DECODERS:
        raise unknown_name("decoder", decoder, DECODERS)
    if decoder == "published" and size != 64:
        raise UserError(f"the published networks are for pictures of 64×64, got size {size}: take the conv decoder")
