"""Global covariance pooling equals its definition, and its gradient needs no remedy where that of an SVD does."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.errors import UserError
from disentangle.models import GlobalCovariancePooling


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(in_channels: int = 5, channels: int = 4, **config: float | str) -> GlobalCovariancePooling:
    torch.manual_seed(0)
    return GlobalCovariancePooling(in_channels, channels, **config).double()


def reduced(pooling: GlobalCovariancePooling, x: Tensor) -> Tensor:
    """What the covariance is taken of, ``(n, channels, positions)``, by functions with no state."""
    y = F.conv2d(x, pooling.conv.weight)
    return F.relu(F.batch_norm(y, None, None, pooling.norm.weight, pooling.norm.bias, training=True)).flatten(2)


@pytest.mark.parametrize(("h", "w"), [(4, 5), (1, 3)])  # more positions than channels, and fewer
@pytest.mark.parametrize("method", ["auto", "eigh", "newton_schulz", "taylor", "pade"])
def test_it_equals_its_definition(h: int, w: int, method: str) -> None:
    eps = 1.0 if method in ("taylor", "pade") else 1e-3
    pooling, x = layer(eps=eps, method=method), features(3, 5, h, w)
    tolerance = {"taylor": 1e-2, "pade": 1e-3, "newton_schulz": 1e-8}.get(method, 1e-10)
    out = pooling(x)
    assert out.shape == (3, pooling.out_features) == (3, 10)
    for vector, picture in zip(out, reduced(pooling, x), strict=True):
        values, vectors = torch.linalg.eigh(torch.cov(picture, correction=0) + eps * torch.eye(4).double())
        root = vectors @ torch.diag(values.sqrt()) @ vectors.mT
        upper = torch.stack([root[i, j] for i in range(4) for j in range(i, 4)])
        assert torch.allclose(vector, upper, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("h", "w"), [(3, 3), (1, 3)])
@pytest.mark.parametrize("eps", [1e-4, 1e-2])
def test_gradients(h: int, w: int, eps: float) -> None:
    assert torch.autograd.gradcheck(layer(eps=eps).eval(), features(2, 5, h, w).requires_grad_())


def roots_by_svd(covariance: Tensor) -> Tensor:
    left, sigma, right = torch.linalg.svd(covariance)
    return left @ torch.diag_embed(sigma.sqrt()) @ right


def test_equal_eigenvalues_need_no_remedy() -> None:
    """Features whose covariance is exactly a multiple of the identity: autograd through an SVD divides by zero."""
    x = torch.zeros(1, 3, 1, 4, dtype=torch.float64)
    x[0, :, 0] = 2 + torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    pooling = GlobalCovariancePooling(3, 3, eps=1e-4).double().eval()
    pooling.conv.weight.data = torch.eye(3).double()[:, :, None, None]
    direction = features(6, seed=3)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((pooling(x) * direction).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0.01
    assert torch.autograd.gradcheck(pooling, x)
    centred = x.flatten(2) - x.flatten(2).mean(2, keepdim=True)
    roots = roots_by_svd(centred @ centred.mT / 4)
    upper = roots[:, *torch.triu_indices(3, 3)]
    (naive,) = torch.autograd.grad((upper * direction).sum(), x)
    assert not torch.isfinite(naive).all(), "the test is of no use: this case is harmless"


@pytest.mark.parametrize("picture", [torch.zeros(5, 3, 3), torch.ones(5, 3, 3)])
def test_a_picture_without_contrast_has_a_finite_gradient(picture: Tensor) -> None:
    pooling = layer(eps=1e-4).eval()
    x = picture[None].double().requires_grad_()
    out = pooling(x)
    diagonal = torch.tensor([float(i == j) for i in range(4) for j in range(i, 4)]).double()
    assert torch.allclose(out[0], diagonal * 1e-2, rtol=1e-9)
    out.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_a_picture_does_not_depend_on_its_batch() -> None:
    pooling, x = layer().eval(), features(3, 5, 4, 4)
    assert torch.allclose(pooling(x)[1:2], pooling(x[1:2]), rtol=0, atol=1e-13)


def test_only_the_channels_that_vary_together_matter() -> None:
    """Where the positions stand does not matter; how large the picture is neither."""
    pooling, x = layer().eval(), features(2, 5, 4, 4)
    out = pooling(x)
    shuffled = x.flatten(2)[..., torch.randperm(16, generator=torch.Generator().manual_seed(1))].unflatten(2, (2, 8))
    assert torch.allclose(pooling(shuffled), out, rtol=0, atol=1e-12)
    assert torch.allclose(pooling(torch.cat([x, x], 3)), out, rtol=0, atol=1e-12)


def test_the_last_covariances_are_those_before_the_ridge() -> None:
    pooling, x = layer(eps=0.1), features(10, 5, 4, 4)
    assert pooling.last_covariance is None
    pooling(x.requires_grad_())
    expected = torch.stack([torch.cov(picture, correction=0) for picture in reduced(pooling, x)[:8]])
    assert torch.allclose(pooling.last_covariance, expected)
    assert not pooling.last_covariance.requires_grad
    pooling.eval()(features(2, 5, 4, 4, seed=4))
    assert torch.allclose(pooling.last_covariance, expected), "evaluation must not record"
    assert not [name for name in pooling.state_dict() if "last" in name]
    assert torch.equal(copy.deepcopy(pooling).last_covariance, pooling.last_covariance)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_precision(precision: str) -> None:
    pooling, x = layer(16, 16, precision=precision).float(), features(2, 16, 3, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        out = pooling(x)
    assert out.dtype == torch.bfloat16 == pooling.last_dtype
    assert pooling.last_covariance.dtype == getattr(torch, precision)
    exact = copy.deepcopy(pooling).double()(x.double())
    assert exact.dtype == torch.float64
    error = (pooling(x) - exact).abs().max()
    assert 0 < error < 1e-3


def test_any_memory_format() -> None:
    pooling, x = layer(), features(2, 5, 4, 3)
    expected = pooling(x)
    assert torch.allclose(pooling(x.contiguous(memory_format=torch.channels_last)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GlobalCovariancePooling(0), "must be at least 1, got 0 and 256"),
        (lambda: GlobalCovariancePooling(4, 0), "must be at least 1, got 4 and 0"),
        (lambda: GlobalCovariancePooling(4, eps=-1), "eps, the ridge, must be finite and at least 0, got -1"),
        (lambda: GlobalCovariancePooling(4, method="svd"), "unknown method 'svd'"),
        (lambda: GlobalCovariancePooling(4, precision="half"), "unknown precision 'half'"),
        (lambda: layer()(features(2, 5, 1, 1)), r"at least two positions, got features of \(1, 1\)"),
        (lambda: layer().eval()(features(2, 5, 3, 3) * torch.nan), "NaN or infinite values"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
