r"""The SVD latent-decomposition layer: :math:`\phi = U^\top (L \circ z) + \mu`.

He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs", ICCV 2021, arXiv 2104.12476.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from disentangle.errors import UserError


class SubspaceLayer(nn.Module):
    r"""A learned linear subspace of a feature space: latents in, features out.

    The rows of ``basis`` span the subspace and are kept near orthonormal by an orthogonal treatment
    (:mod:`disentangle.treatments`); ``scale`` holds the importance of each, as singular values do in a decomposition,
    and ``mean`` the subspace's origin.

    Args:
        features: ``D``, the size of the feature space. A feature map is flattened: ``D = channels * height * width``.
        rank: ``q``, the dimension of the subspace, at most ``features``.
        generator: source of the initial basis, a random orthonormal one.

    Attributes:
        basis: ``(rank, features)``, initially with orthonormal rows.
        scale: ``(rank,)``, initially ``3q, 3(q-1), …, 6, 3``.
        mean: ``(features,)``, initially zero.

    Raises:
        UserError: where ``rank`` is not in ``1 … features``.
    """

    def __init__(self, features: int, rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 1 <= rank <= features:
            raise UserError(f"rank must lie between 1 and features ({features}), got {rank}")
        gaussian = torch.randn(features, rank, generator=generator, dtype=torch.float64)
        orthonormal = torch.linalg.qr(gaussian).Q.mT.contiguous()
        self.basis = nn.Parameter(orthonormal.to(torch.get_default_dtype()))
        self.scale = nn.Parameter(3.0 * torch.arange(rank, 0, -1, dtype=self.basis.dtype))
        self.mean = nn.Parameter(torch.zeros(features))

    def forward(self, latents: Float[Tensor, "*batch rank"]) -> Float[Tensor, "*batch features"]:
        """Map latents to features."""
        return torch.addmm(self.mean, latents.reshape(-1, self.rank) * self.scale, self.basis).reshape(
            *latents.shape[:-1], self.features
        )

    def matrix(self) -> Float[Tensor, "features rank"]:
        """The linear map itself, mean left out: column ``j`` is ``scale[j] * basis[j]``. Without gradient."""
        return (self.basis.detach() * self.scale.detach()[:, None]).mT

    @property
    def rank(self) -> int:
        """``q``, the number of latents."""
        return len(self.scale)

    @property
    def features(self) -> int:
        """``D``, the number of features."""
        return len(self.mean)

    def extra_repr(self) -> str:
        return f"features={self.features}, rank={self.rank}"
