"""diffusers' AutoencoderKL, its spatial latent steered through a subspace layer.

Rombach, Blattmann, Lorenz, Esser, Ommer, "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022,
arXiv 2112.10752; the subspace layer is that of He, Kan, Shan, "EigenGAN", ICCV 2021, arXiv 2104.12476.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.models.blocks import check_channels, check_images, check_latents, draw_normal
from disentangle.models.pretrained import load_pretrained
from disentangle.subspace import SubspaceLayer

BEND = 0.98
"""Where pictures that a decoder puts out leave the straight line of what is shown: 2.5 grey levels of 8 bits from white
and black."""


class AutoencoderKLSubspace(ModelMixin, ConfigMixin):  # type: ignore[misc]
    r"""Codes ``(n, d)`` to a spatial latent by a subspace layer, to a picture by AutoencoderKL's decoder; and back by
    its encoder and a linear Gaussian posterior of the codes.

    AutoencoderKL's own posterior is one of the spatial latent (its ``kl()`` sums over channels and positions); that
    of the codes, mean and log-variance, is a linear map of its mean.

    Args:
        size: height and width of the pictures, a multiple of ``2 ** (len(block_out_channels) - 1)``.
        channels: 1 (grey) or 3 (RGB). An autoencoder of three channels sees grey pictures thrice, and the mean of its
            output is shown.
        latent_size: ``d``, number of codes.
        block_out_channels: the autoencoder's channels at each scale, the picture's first.
        layers_per_block: its residual blocks at each scale of the encoder; the decoder has one more.
        latent_channels: channels of its spatial latent.
        norm_groups: of its group norms, which must divide every entry of ``block_out_channels``.
        attention: whether its coarsest features attend to each other.
        autoencoder: the complete configuration of an AutoencoderKL, in place of the last five.
        outputs: what its decoder puts out: logits, of which ``tanh(logits / 2)`` is the picture, or, as a published one
            does, pictures.
        freeze: train the subspace layer and the posterior only.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` or ``channels`` does not fit, a number is below 1, or diffusers builds no
            AutoencoderKL of these settings.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        latent_size: int = 10,
        block_out_channels: Sequence[int] = (32, 64, 64),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        norm_groups: int = 8,
        attention: bool = False,
        autoencoder: dict[str, Any] | None = None,
        outputs: Literal["logits", "pictures"] = "logits",
        freeze: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        if latent_size < 1:
            raise UserError(f"latent_size must be at least 1, got {latent_size}")
        if outputs not in ("logits", "pictures"):
            raise UserError(f"outputs must be logits or pictures, got {outputs!r}")
        settings = autoencoder or _settings(
            channels, block_out_channels, layers_per_block, latent_channels, norm_groups, attention
        )
        self.latent_size = latent_size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            try:
                self.backbone = AutoencoderKL(**settings)
            except (ValueError, TypeError, RuntimeError, AttributeError, IndexError, ZeroDivisionError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"diffusers builds no AutoencoderKL of these settings: {reason}; change them") from None
            config = self.backbone.config
            step = 2 ** (len(config.block_out_channels) - 1)
            if size < step or size % step:
                raise UserError(f"size must be a multiple of {step} with this autoencoder, got {size}")
            if config.in_channels not in (channels, 3):
                raise UserError(f"the autoencoder is for {config.in_channels} channels, got pictures of {channels}")
            self.latent_shape = (config.latent_channels, size // step, size // step)
            features = config.latent_channels * (size // step) ** 2
            if latent_size > features:
                raise UserError(f"latent_size must be at most the {features} numbers of the latent, got {latent_size}")
            self.subspace = SubspaceLayer(features, latent_size)
            self.posterior = nn.Linear(features, 2 * latent_size)
        self.backbone.requires_grad_(not freeze)

    def spatial(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to the mean ``(n, D)`` of the autoencoder's own posterior,
        flattened channels, rows, columns."""
        images = images.expand(-1, self.backbone.config.in_channels, -1, -1)
        return self.backbone.encode(images).latent_dist.mode().flatten(1)  # type: ignore[no-any-return]

    def posterior_of(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to mean and log-variance ``(n, d)`` of their codes."""
        mean, log_variance = self.posterior(self.spatial(images)).chunk(2, dim=1)
        return mean, log_variance

    def logits(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures before the last non-linearity: ``tanh(logits / 2)`` is the picture.

        Of a decoder that puts out pictures, they are such that this is its output up to ±0.98 and, beyond, comes near
        white and black within a grey level of 8 bits, so that no pixel is without a gradient.
        """
        features = self.subspace(latents).unflatten(1, self.latent_shape)
        output = self.backbone.decode(features, return_dict=False)[0]
        if output.shape[1] != self.config.channels:
            output = output.mean(dim=1, keepdim=True)
        if self.config.outputs == "logits":
            return output  # type: ignore[no-any-return]
        return picture_logits(output if output.dtype == torch.float64 else output.float())

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to their reconstructions from the posterior's mean."""
        return self.synthesize(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``: the posterior's mean."""
        check_images(images)
        return self.posterior_of(images)[0]

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents from the prior N(0, I)."""
        return draw_normal(n, self.latent_size, generator, self.posterior.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        logits = self.logits(latents)
        return torch.tanh((logits if logits.dtype == torch.float64 else logits.float()) / 2)

    def projections(self) -> tuple[Projection, ...]:
        """The subspace layer."""
        return (Projection("layer 1", "subspace.basis", slice(0, self.latent_size), self.subspace.matrix),)

    @torch.no_grad()
    def fit_subspace(self, images: Tensor, batch_size: int = 32) -> None:
        r"""Set subspace layer and posterior to the probabilistic principal components of these pictures' latents.

        With mean :math:`\mu`, principal directions :math:`u_j` of variances :math:`\lambda_j` and the mean
        :math:`s^2` of the variances left out, a code of the prior becomes :math:`\mu + \sum_j z_j \sqrt{\lambda_j -
        s^2}\, u_j`, and its posterior given a latent x is normal of mean :math:`\sqrt{\lambda_j - s^2}\, u_j^\top (x -
        \mu) / \lambda_j` and variance :math:`s^2 / \lambda_j` (Tipping and Bishop, "Probabilistic Principal Component
        Analysis", JRSS B, 1999). So a loaded autoencoder reconstructs and samples before any training.

        Args:
            images: ``(n, channels, size, size)`` in [-1, 1], more of them than codes.
            batch_size: pictures that are encoded at a time.

        Raises:
            UserError: where there are too few pictures, or their latents have fewer directions than there are codes.
        """
        if len(images) <= self.latent_size:
            raise UserError(f"{self.latent_size} codes need more than {self.latent_size} pictures, got {len(images)}")
        latents = torch.cat([self.spatial(batch) for batch in images.split(batch_size)]).double()
        mean = latents.mean(0)
        _, singular, directions = torch.linalg.svd(latents - mean, full_matrices=False)
        variances = singular.square() / len(images)
        kept, basis = variances[: self.latent_size], directions[: self.latent_size]
        if kept[-1] <= 1e-12 * kept[0] or not kept[0] > 0:
            raise UserError(f"the pictures differ in fewer than {self.latent_size} directions: give more, or others")
        left = (variances.sum() - kept.sum()) / max(1, latents.shape[1] - self.latent_size)
        scale = (kept - left).clamp(min=0).sqrt()
        encode = scale[:, None] * basis / kept[:, None]
        self.subspace.basis.copy_(basis)
        self.subspace.scale.copy_(scale)
        self.subspace.mean.copy_(mean)
        self.posterior.weight.copy_(torch.cat([encode, torch.zeros_like(encode)]))
        log_variance = (left / kept).clamp(min=1e-6).log()
        self.posterior.bias.copy_(torch.cat([-encode @ mean, log_variance]))

    @classmethod
    def from_autoencoder(
        cls, folder: Path | str, size: int, channels: int, latent_size: int, freeze: bool = True, seed: int = 0
    ) -> "AutoencoderKLSubspace":
        """A model around a published AutoencoderKL: its weights, from a local folder, and a new subspace layer.

        Call :meth:`fit_subspace` before anything else: the new layers are random.

        Args:
            folder: with ``config.json`` and ``diffusion_pytorch_model.safetensors``, as ``save_pretrained`` writes
                them; or a pipeline's, which has them in ``vae/``.
            size: height and width of the pictures.
            channels: 1 (grey) or 3 (RGB).
            latent_size: number of codes.
            freeze: train the subspace layer and the posterior only.
            seed: seed of the new layers' weights.

        Raises:
            UserError: where there is no such folder, it is of another kind, is incomplete or damaged or has pickled
                weights only, or the sizes do not fit.
        """
        loaded = load_autoencoder(Path(folder))
        settings = {key: value for key, value in loaded.config.items() if not key.startswith("_")}
        model = cls(size, channels, latent_size, autoencoder=settings, outputs="pictures", freeze=freeze, seed=seed)
        model.backbone.load_state_dict(loaded.state_dict())
        return model  # type: ignore[no-any-return]


def _settings(
    channels: int, widths: Sequence[int], layers: int, latent_channels: int, groups: int, attention: bool
) -> dict[str, Any]:
    """The configuration of an AutoencoderKL with as many scales as widths."""
    if not widths or min(*widths, layers, latent_channels, groups) < 1:
        raise UserError(
            "block_out_channels, layers_per_block, latent_channels and norm_groups must be at least 1, "
            f"got {tuple(widths)}, {layers}, {latent_channels} and {groups}"
        )
    return {
        "in_channels": channels,
        "out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "latent_channels": latent_channels,
        "norm_num_groups": groups,
        "mid_block_add_attention": attention,
    }


def picture_logits(pictures: Tensor) -> Tensor:
    """Logits of which ``tanh(logits / 2)`` is the picture: ``2 artanh`` up to ±0.98, its tangent beyond."""
    inside = pictures.clamp(-BEND, BEND)
    return 2 * torch.atanh(inside) + 2 / (1 - BEND**2) * (pictures - inside)


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """The AutoencoderKL of a local folder, in float32, from safetensors only and never from the network.

    Raises:
        UserError: where there is none, or it is incomplete, damaged, of another kind or pickled.
    """
    if not (folder / "config.json").is_file() and (folder / "vae" / "config.json").is_file():
        folder = folder / "vae"
    if not (folder / "config.json").is_file():
        raise UserError(f"no autoencoder at {folder}: name a folder with config.json and its weights in safetensors")
    return load_pretrained(AutoencoderKL, folder)
