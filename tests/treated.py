"""A small network whose weights are treated, and what tests of treatments share."""

import itertools

import torch
from torch import Tensor, nn

from disentangle.orthogonal import skew_part
from disentangle.subspace import SubspaceLayer
from disentangle.treatments import TREATMENTS, Treatment, TreatmentConfig, bind

COMBINATIONS = [
    names
    for count in range(len(TREATMENTS) + 1)
    for names in itertools.combinations(TREATMENTS, count)
    if not {"sn", "ow"} <= set(names)
]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Toy(nn.Module):
    """Two Pre-SVD weights, a dense one and a transposed convolution's, and a parameter that is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = SubspaceLayer(16, 3, torch.Generator().manual_seed(1))
        self.conv = nn.ConvTranspose2d(1, 5, 4)
        self.basis_without_gradient = nn.Parameter(torch.zeros(2, 3), requires_grad=False)
        self.unused = nn.Parameter(torch.zeros(2, 3))
        self.double()
        with torch.no_grad():
            self.conv.weight.copy_(0.1 * gaussian(1, 5, 4, 4, seed=2))
            self.conv.bias.zero_()
            self.layer.basis.add_(0.3 * gaussian(3, 16, seed=3))

    def loss(self, step: int = 0) -> Tensor:
        features = self.layer(gaussian(8, 3, seed=10 + step)).reshape(8, 1, 4, 4)
        return (self.conv(features) - 1).square().mean()


BOUND = ("layer.basis", "conv.weight")


class ConvToy(nn.Module):
    """Every kind of weight that can be treated: a convolution, a 1×1 one, a transposed one, a dense and a raw one."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(5)
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.mix = nn.Conv2d(4, 3, 1)
            self.up = nn.ConvTranspose2d(3, 2, 2, stride=2)
            self.dense = nn.Linear(2 * 8 * 6, 5)
            self.raw = nn.Parameter(torch.randn(5, 2))
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        features = self.up(torch.tanh(self.mix(torch.tanh(self.stem(images)))))
        return torch.tanh(self.dense(features.flatten(1))) @ self.raw

    def loss(self, step: int = 0) -> Tensor:
        return (self(gaussian(6, 1, 4, 3, seed=20 + step)) - 1).square().mean()


KINDS = ("stem.weight", "mix.weight", "up.weight", "dense.weight", "raw")
"""All the weights of :class:`ConvToy`, each of another kind."""


def started(*names: str, lr: float = 0.1, **options) -> tuple[Toy, Treatment, torch.optim.Optimizer]:
    """A toy, its treatment and plain SGD, with the gradients of one backward pass."""
    toy = Toy()
    treatment = bind(TreatmentConfig(names, **options), toy, BOUND)
    trained = [p for p in toy.parameters() if p.requires_grad and p is not toy.unused]
    optimizer = torch.optim.SGD(treatment.param_groups(trained), lr=lr)
    (toy.loss() + treatment.penalty()).backward()
    return toy, treatment, optimizer


def singular_values(weight: Tensor) -> Tensor:
    """Those of a weight as a matrix, its first dimension against all others."""
    return torch.linalg.svdvals(weight.detach().flatten(1).double())


RATE, MOMENTUM, DECAY = 0.05, 0.9, 0.01
"""Of the optimiser whose step :func:`by_hand` takes."""


def by_hand(
    names: tuple[str, ...], target: str, raw: Tensor, gradient: Tensor, momentum: Tensor, convolution: bool
) -> tuple[Tensor, float, float]:
    """SGD with momentum and weight decay, treated: the new weight, its rate and the optimal one.

    ``momentum`` is changed in place.
    """

    def active(direction: Tensor) -> Tensor:
        return skew_part(direction) if convolution else direction

    def nearest(direction: Tensor) -> Tensor:
        left, _, right = torch.linalg.svd(direction.flatten(1), full_matrices=False)
        return active((left @ right).reshape(direction.shape))

    def rate(direction: Tensor) -> tuple[float, float]:
        w, l = active(raw).flatten(), direction.flatten()  # noqa: E741
        optimal = float((w @ w) * (l @ w) / ((w @ w) * (l @ l) + 2 * (l @ w) ** 2))
        scale_free = {"sn", "ow"} & set(names)
        rounding = scale_free and abs(float(l @ w / w.norm() / l.norm())) < 1e-4
        optimal = 0.0 if rounding else optimal
        return (optimal if "olr" in names and 0 < optimal < RATE else RATE), optimal

    if target == "gradient" or not {"nog", "olr"} & set(names):
        gradient = nearest(gradient) if "nog" in names else gradient
        eta, optimal = rate(gradient)
        momentum.mul_(MOMENTUM).add_(gradient + DECAY * raw)
        return raw - eta * momentum, eta, optimal
    momentum.mul_(MOMENTUM).add_(gradient)
    direction = nearest(momentum) if "nog" in names else momentum.clone()
    eta, optimal = rate(direction)
    return (1 - eta * DECAY) * raw - eta * direction, eta, optimal
