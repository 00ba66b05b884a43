"""The residual networks are the published ones where they should be, and have their meta-layers where they should."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from disentangle.conditioning import condition_metrics
from disentangle.errors import UserError
from disentangle.models import (
    DecorrelatedBatchNorm2d,
    GlobalCovariancePooling,
    ResNet,
    SkewOrthogonalConv2d,
    resnet18,
    resnet34,
    resnet50,
    resnet_small,
)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tiny(**config: object) -> ResNet:
    return ResNet(**{"depth": "18", "num_classes": 3, "width": 4, "pool_channels": 6} | config)


def norms(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | DecorrelatedBatchNorm2d)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (resnet18, torchvision.models.resnet18),
        (resnet34, torchvision.models.resnet34),
        (resnet50, torchvision.models.resnet50),
    ],
)
def test_with_torchvisions_weights_it_is_torchvisions(
    ours: Callable[..., ResNet], theirs: Callable[..., nn.Module]
) -> None:
    torch.manual_seed(0)
    expected = theirs(num_classes=7)
    model = ours(7, stem="large")
    model.load_state_dict(expected.state_dict())
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in expected.parameters())
    x = images(2, 3, 64, 64)
    for training in (True, False):
        assert torch.allclose(model.train(training)(x), expected.train(training)(x), rtol=1e-5, atol=1e-5)


def test_initial_weights_have_the_published_spread() -> None:
    model = resnet18(10)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("pool", ["average", "covariance"])
@pytest.mark.parametrize("norm", ["batch", "decorrelated"])
@pytest.mark.parametrize(
    ("depth", "stem", "size"), [("18", "small", 16), ("18", "large", 64), ("50", "small", 16), ("small", "small", 28)]
)
def test_every_combination_trains(depth: str, stem: str, size: int, norm: str, pool: str) -> None:
    model = tiny(depth=depth, stem=stem, norm=norm, pool=pool, in_channels=1)
    logits = model(images(4, 1, size, size))
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    first, *others = norms(model)
    assert isinstance(first, DecorrelatedBatchNorm2d) == (norm == "decorrelated")
    assert all(isinstance(other, nn.BatchNorm2d) for other in others), "the first norm only"
    parameters = dict(model.named_parameters())
    found = {p.name: parameters[p.parameter] for p in model.projections()}
    expected = {}
    if norm == "decorrelated":
        expected["stem"] = model.conv1.weight
    if pool == "covariance":
        expected["pool"] = model.pooling.conv.weight
    assert found.keys() == expected.keys()
    assert all(found[name] is expected[name] for name in found)
    assert len([name for name in condition_metrics(model) if name.startswith("rank/")]) == len(expected)


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({"stem": "small"}, (4, 16), (32, 2)),
        ({"stem": "large"}, (4, 8), (32, 1)),
        ({"stem": "large", "norm": "decorrelated"}, (4, 8), (32, 1)),
        ({"stem": "small", "pool": "covariance"}, (4, 16), (32, 4)),
        ({"depth": "50", "stem": "small"}, (4, 16), (128, 2)),
        ({"depth": "small"}, (4, 16), (16, 2)),
        ({"depth": "small", "pool": "covariance"}, (4, 16), (16, 4)),
    ],
)
def test_resolutions(config: dict[str, str], before: tuple[int, int], after: tuple[int, int]) -> None:
    """Channels and size of what the first norm, the first stage and the pooling are given, from 16×16 pictures."""
    model = tiny(**config)
    seen: dict[str, tuple[int, int]] = {}
    for name in ("bn1", "layer1", "pooling"):
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: (inputs[0].shape[1], inputs[0].shape[2])})
        )
    model(images(2, 3, 16, 16))
    assert (seen["bn1"], seen["pooling"]) == (before, after)
    pooled = config.get("stem") == "large" and config.get("norm") != "decorrelated"
    assert seen["layer1"] == (4, before[1] // 2 if pooled else before[1]), "max-pool after a batch norm only"


def test_the_published_settings_reach_the_layers() -> None:
    model = resnet18(100, norm="decorrelated", pool="covariance", groups=4, eps=1e-3, pool_channels=32, method="eigh")
    assert (model.bn1.num_features, model.bn1.groups, model.bn1.eps, model.bn1.method) == (64, 4, 1e-3, "eigh")
    assert isinstance(model.pooling, GlobalCovariancePooling)
    assert (model.pooling.in_channels, model.pooling.channels, model.pooling.method) == (512, 32, "eigh")
    assert model.fc.weight.shape == (100, 32 * 33 // 2)
    assert resnet50(10, pool="covariance").fc.in_features == 256 * 257 // 2


def test_the_small_stem_has_full_rank_on_grey_pictures() -> None:
    model = resnet_small(10, "decorrelated", in_channels=1)
    assert model.conv1.weight.shape == (16, 1, 5, 5)
    model(images(4, 1, 28, 28))
    assert condition_metrics(model)["rank/bn1"] == 16


def test_skew_orthogonal_stem() -> None:
    model = tiny(norm="decorrelated", skew_orthogonal=True)
    assert isinstance(model.conv1, SkewOrthogonalConv2d)
    assert model(images(2, 3, 16, 16)).shape == (2, 3)
    assert model.projections()[0].parameter in dict(model.named_parameters())


def test_the_seed_decides_the_weights() -> None:
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    one, same, other = tiny(seed=1), tiny(seed=1), tiny(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state), "building a model moved the global generator"
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_saved_model_is_the_same_to_the_bit(tmp_path: Path) -> None:
    model = tiny(norm="decorrelated", pool="covariance", groups=2, seed=3)
    model(images(4, 3, 16, 16))  # running statistics
    model.eval().save_pretrained(tmp_path, safe_serialization=True)
    loaded = ResNet.from_pretrained(tmp_path, use_safetensors=True)
    x = images(2, 3, 16, 16, seed=1)
    assert torch.equal(loaded.eval()(x), model(x))
    assert loaded.config["width"] == 4
    assert loaded.projections() == model.projections()


def test_no_layer_hides_behind_the_configuration() -> None:
    """diffusers gives a configuration's entry before a layer of that name, and warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny(norm="decorrelated", pool="covariance")(images(2, 3, 16, 16))


def test_channels_last_computes_the_same() -> None:
    model = tiny(norm="decorrelated", pool="covariance").double()
    x = images(4, 3, 16, 16).double()
    logits = model(x)
    last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(last, logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"depth": "101"}, "unknown depth '101': possible: 18, 34, 50, small"),
        ({"depth": 18}, "unknown depth '18'"),
        ({"norm": "layer"}, "unknown norm"),
        ({"pool": "max"}, "unknown pool"),
        ({"stem": "huge"}, "unknown stem"),
        ({"depth": "small", "stem": "large"}, "has one stem"),
        ({"num_classes": 0}, "at least 1, got 0"),
        ({"width": 0}, "at least 1"),
        ({"norm": "decorrelated", "groups": 3}, "groups must divide the 4 channels, got 3"),
        ({"norm": "decorrelated", "method": "magic"}, "unknown method"),
    ],
)
def test_impossible_models_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tiny(**config)
