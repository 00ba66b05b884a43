r"""Maps that are orthogonal, or of spectral norm 1, by construction.

A parametrisation (``torch.nn.utils.parametrize``) of a dense map, :class:`PolarParametrization` or
:class:`SpectralNorm`, and a convolution, :class:`SkewOrthogonalConv2d`, whose Jacobian is the exponential of a
skew-symmetric matrix. All compute in float32 at least, also under autocast.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.linalg import polar
from disentangle.linalg.checks import full_precision, working_dtype

POWER_STEPS = 50
"""Steps of the power iteration before training, as published; then one with each forward pass in training."""


class PolarParametrization(nn.Module):
    r"""An orthogonal weight: the polar factor :math:`U V^\top` of a free matrix :math:`U S V^\top`.

    A weight of more than two dimensions is viewed as a matrix, its first dimension against all others. Its smaller side
    is orthonormal, and the gradient is the exact one (:func:`disentangle.linalg.polar`). It does not depend on the free
    matrix's length, so its gradient is at right angles to the free matrix.

        torch.nn.utils.parametrize.register_parametrization(nn.Linear(9, 4), "weight", PolarParametrization())
    """

    def forward(self, free: Tensor) -> Tensor:
        """The orthogonal weight of a free one, of the same shape.

        Raises:
            ValueError: the free weight is not finite, or a vector.
        """
        return polar(as_matrix("weight", free)).reshape(free.shape)

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        """A free weight whose orthogonal one is the nearest to ``weight``: that orthogonal one itself.

        Raises:
            ValueError: ``weight`` has not full rank, so that none is the nearest and no gradient would ever mend it.
        """
        nearest = self.forward(weight)
        rank, full = round(float(nearest.double().square().sum())), min(as_matrix("weight", weight).shape)
        if rank < full:
            raise ValueError(f"a weight of rank {rank}, not {full}, has no nearest orthogonal one")
        return nearest


class SpectralNorm(nn.Module):
    r"""A weight of spectral norm 1, :math:`W / \sigma_{\max}(W)`, the norm tracked by a power iteration.

    Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, arXiv
    1802.05957. Torch's parametrisation of that name computes the same, but starts from vectors that the global random
    state gives, in whatever precision autocast asks for, and views a transposed convolution as another matrix; here the
    norm is exact at first, and a weight's first dimension always stands against all others.

    The iteration makes one step with each forward pass in training and none in evaluation.

    Args:
        weight: the first weight, at least two dimensions and not zero.
    """

    vector: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            left = torch.linalg.svd(as_matrix("weight", weight).double(), full_matrices=False).U[:, 0]
        self.register_buffer("vector", left.to(working_dtype(weight)))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its spectral norm."""
        with full_precision(weight):
            matrix = as_matrix("weight", weight).to(working_dtype(weight)).mT
            if self.training:
                _power_step(matrix, self.vector)
            return (weight / _norm_along(matrix, self.vector)).to(weight.dtype)


class SkewOrthogonalConv2d(nn.Module):
    r"""Skew-orthogonal convolution: the exponential of a convolution whose matrix is skew-symmetric.

    Singla, Feizi, "Skew Orthogonal Convolutions", ICML 2021, arXiv 2105.11417.

    A filter with :math:`L_{oi}(d) = -L_{io}(-d)` for every displacement d convolves by a skew-symmetric matrix J, and
    :math:`e^J` is orthogonal. That holds at the border too: zeros outside the picture leave out rows and columns of the
    same numbers, so the zero padding that is published is as exact as a circular one and takes nothing from the
    opposite border. The exponential is its series, applied to the features: :math:`\sum_{j \le n} J^j x / j!`, off by
    at most :math:`\|J\|^{n+1} / (n+1)!` of :math:`\|x\|`. With :math:`\|J\| \le 0.7` that is 1.7e-4 for n = 5 and
    5e-10 for n = 10.

    The filter is the skew-symmetric part of ``weight``, scaled by ``norm / σ``; σ is the least of four bounds of
    :math:`\|J\|`, the spectral norms of the filter's four reshapings to a matrix times ``kernel_size`` (Singla, Feizi,
    "Fantastic Four", ICLR 2021, arXiv 1911.10258). On a skew-symmetric filter they agree in pairs, so two are computed,
    by power iterations that make one step with each forward pass in training and none in evaluation. They are a little
    too small until the iteration has converged.

    Where the channels differ, inputs are padded with channels of zeros, or outputs left out: with at least as many
    output channels (4 × the inputs' for stride 2) lengths are kept, with fewer no length grows. Stride 2 turns each
    block of 2 × 2 pixels into four channels first; pictures of odd size get a last row or column of zeros, so that
    sizes are those of ``nn.Conv2d`` with ``padding=kernel_size // 2``.

    Args:
        in_channels: channels of the inputs.
        out_channels: channels of the outputs.
        kernel_size: odd.
        stride: 1 or 2.
        bias: whether a bias is added.
        norm: the bound of ``‖J‖``: how far from the identity the map can be. The published program leaves the factor
            ``kernel_size`` out of σ: give ``0.7 * kernel_size`` for that, with no more than that as a guarantee.
        train_terms: n in training.
        eval_terms: n in evaluation.
        generator: source of the initial filter and of the first vectors of the power iterations.

    Attributes:
        weight: the raw filter, ``(c, c, kernel_size, kernel_size)`` with c the larger of ``in_channels * stride²`` and
            ``out_channels``; initially skew-symmetric. Only its skew-symmetric part has an effect, and not its length.
        bias: ``(out_channels,)`` or ``None``.

    Raises:
        UserError: a number out of range.
    """

    power_square: Tensor
    power_flat: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        bias: bool = True,
        *,
        norm: float = 0.7,
        train_terms: int = 5,
        eval_terms: int = 10,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, train_terms, eval_terms) < 1:
            raise UserError(
                "in_channels, out_channels, train_terms and eval_terms must be at least 1, "
                f"got {in_channels}, {out_channels}, {train_terms} and {eval_terms}"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(f"kernel_size of a skew-orthogonal convolution must be odd, got {kernel_size}")
        if stride not in (1, 2):
            raise UserError(f"stride of a skew-orthogonal convolution must be 1 or 2, got {stride}")
        if not (math.isfinite(norm) and norm > 0):
            raise UserError(f"norm must be finite and above 0, got {norm}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = kernel_size, stride
        self.norm, self.train_terms, self.eval_terms = norm, train_terms, eval_terms
        channels = max(in_channels * stride**2, out_channels)
        filters = skew_part(torch.randn(channels, channels, kernel_size, kernel_size, generator=generator))
        vectors = [torch.randn(size, generator=generator) for size in (channels * kernel_size, channels)]
        for matrix, vector in zip(_reshapings(filters), vectors, strict=True):
            for _ in range(POWER_STEPS):
                _power_step(matrix, vector)
        self.weight = nn.Parameter(filters * math.sqrt(2 / channels))  # the entries' deviation is 1/√c, as published
        self.register_buffer("power_square", vectors[0])
        self.register_buffer("power_flat", vectors[1])
        bound = 1 / math.sqrt(out_channels)
        initial = (2 * torch.rand(out_channels, generator=generator) - 1) * bound if bias else None
        self.bias = nn.Parameter(initial) if initial is not None else None

    def forward(self, images: Tensor) -> Tensor:
        """``(n, in_channels, h, w)`` to ``(n, out_channels, ⌈h / stride⌉, ⌈w / stride⌉)``.

        Raises:
            ValueError: another number of dimensions or channels.
        """
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(f"images must be (n, {self.in_channels}, h, w), got {tuple(images.shape)}")
        filters = self._filter(update=self.training)
        features = self._exponential(filters, self._downsampled(images), self.out_channels)
        return features if self.bias is None else features + self.bias.to(features.dtype)[:, None, None]

    def exponential(self) -> Tensor:
        r"""The convolution that the map is, away from the border: its filter :math:`e^L` without its bias.

        As many terms as a forward pass takes now, n, make a kernel of ``K = n (kernel_size - 1) + 1`` pixels. The
        filter stands for all c channels, and as a matrix ``(c, c·K·K)`` it has orthonormal rows but for the series'
        error. With gradient; the power iteration makes no step.

        Returns:
            ``(c, c, K, K)``.
        """
        with full_precision(self.weight):
            filters = self._filter(update=False)
            reach = self._terms() * (self.kernel_size // 2)
            impulses = torch.eye(len(filters), dtype=filters.dtype, device=filters.device)[:, :, None, None]
            # Impulse i answers with column i of the filter, its displacements turned around.
            answers = self._exponential(filters, F.pad(impulses, (reach,) * 4), len(filters))
            return answers.transpose(0, 1).flip(2, 3)

    def bounds(self) -> Tensor:
        """The two bounds of the norm of the convolution by the raw filter's skew-symmetric part, as they stand."""
        return self._bounds(skew_part(self.weight.to(working_dtype(self.weight))))

    def _bounds(self, filters: Tensor) -> Tensor:
        vectors = (self.power_square, self.power_flat)
        norms = [_norm_along(matrix, vector) for matrix, vector in zip(_reshapings(filters), vectors, strict=True)]
        return self.kernel_size * torch.stack(norms)

    def _filter(self, update: bool) -> Tensor:
        """The skew-symmetric filter, scaled."""
        with full_precision(self.weight):
            filters = skew_part(self.weight.to(working_dtype(self.weight)))
            if update:
                for matrix, vector in zip(_reshapings(filters), (self.power_square, self.power_flat), strict=True):
                    _power_step(matrix, vector)
            sigma = self._bounds(filters).amin().clamp_min(torch.finfo(filters.dtype).tiny)  # 0: one channel, one pixel
            return filters * (self.norm / sigma)

    def _terms(self) -> int:
        return self.train_terms if self.training else self.eval_terms

    def _downsampled(self, images: Tensor) -> Tensor:
        if self.stride == 1:
            return images
        height, width = images.shape[2:]
        layout = torch.channels_last if _is_channels_last(images) else torch.contiguous_format
        images = F.pad(images, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else images
        return F.pixel_unshuffle(images, 2).contiguous(memory_format=layout)

    def _exponential(self, filters: Tensor, features: Tensor, out_channels: int) -> Tensor:
        """The series of the exponential, applied to features, its first ``out_channels`` channels."""
        given, channels = features.shape[1], len(filters)
        padding = self.kernel_size // 2
        filters = filters if torch.is_autocast_enabled(features.device.type) else filters.to(features.dtype)
        # The channels that are zero are not convolved, and those that are left out not computed.
        total = F.pad(features, (0, 0, 0, 0, 0, channels - given)) if channels > given else features
        total, term = total[:, :out_channels], features
        terms = self._terms()
        for j in range(1, terms + 1):
            rows = out_channels if j == terms else channels
            term = F.conv2d(term, filters[:rows, : term.shape[1]] / j, padding=padding)
            total = total + term[:, :out_channels]
        return total.to(term.dtype)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"bias={self.bias is not None}"
        )


def skew_part(filters: Tensor) -> Tensor:
    """The skew-symmetric part of square filters ``(c, c, k, k)``: half of their difference from the transposed
    convolution's, whose channels are exchanged and whose displacements are turned around."""
    return (filters - filters.transpose(0, 1).flip(2, 3)) / 2


def _reshapings(filters: Tensor) -> tuple[Tensor, Tensor]:
    """A skew-symmetric filter as a matrix, ``(out·height, in·width)`` and ``(in·height·width, out)``.

    The two others, with height and width exchanged, are transposes of these up to order and sign.
    """
    channels, _, size, _ = filters.shape
    return filters.transpose(1, 2).reshape(channels * size, channels * size), filters.flatten(1).mT


@torch.no_grad()
def _power_step(matrix: Tensor, vector: Tensor) -> None:
    """Move a vector in place towards the right singular vector of the largest singular value."""
    vector.copy_(F.normalize(matrix.mT @ (matrix @ vector.to(matrix.dtype)), dim=0, eps=torch.finfo(matrix.dtype).tiny))


def _norm_along(matrix: Tensor, vector: Tensor) -> Tensor:
    """The length of a unit vector's image: at most the spectral norm, with that norm's gradient at its vector.

    The vector is copied: the next step changes it in place, and this one's gradient may still be asked for.
    """
    norm: Tensor = torch.linalg.vector_norm(matrix @ vector.clone().to(matrix.dtype))
    return norm


def as_matrix(what: str, weight: Tensor) -> Tensor:
    """A weight as a matrix, its first dimension against all others.

    Raises:
        TypeError: it is no tensor.
        ValueError: it has fewer than two dimensions.
    """
    if not isinstance(weight, Tensor):
        raise TypeError(f"{what} must be a torch.Tensor, got {type(weight).__name__}")
    if weight.ndim < 2:
        raise ValueError(f"{what} must have at least two dimensions, got shape {tuple(weight.shape)}")
    return weight.flatten(1)


def _is_channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
