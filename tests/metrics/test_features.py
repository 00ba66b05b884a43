"""The embedded feature network: that it is the network, sees pictures rightly, and orders them by damage."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch.nn import functional

from disentangle.errors import UserError
from disentangle.metrics import features, frechet_distance, load_features
from disentangle.metrics.efficientnet import SameConv2d


@pytest.fixture(scope="module")
def network():
    return load_features()


def photographs():
    """scikit-learn's two photographs, centre crops in [-1, 1]: a Chinese temple and a flower."""
    return [torch.tensor(image)[None, :, 106:533].movedim(-1, 1) / 127.5 - 1 for image in load_sample_images().images]


def digits(n):
    images = torch.tensor(load_digits().images[:n], dtype=torch.float32)[:, None] / 8 - 1
    return functional.interpolate(images, (32, 32), mode="bilinear")


def test_classifies_photographs():
    network = load_features(size=224)
    temple, flower = (network.network(network.prepare(photo)).topk(5).indices[0].tolist() for photo in photographs())
    assert set(temple[:2]) == {442, 698}  # bell cote, palace
    assert 663 in temple  # monastery
    assert flower[0] == 985  # daisy


def test_pictures_arrive_in_the_range_of_training(network):
    # Inputs of another scale than the network's give its first layer other variances than those it recorded.
    stem, recorded = network.network._conv_stem, network.network._bn0.running_var
    with torch.no_grad():
        variances = [stem(network.prepare(photo)).var(dim=(0, 2, 3)) for photo in photographs()]
    ratio = (torch.stack(variances).mean(dim=0) / recorded).log()
    assert abs(float(ratio[recorded > 1e-3].median())) < 0.3


def test_black_and_white_bytes_map_as_in_training(network):
    edges = network.prepare(torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 1, 128, 128))
    assert edges.shape == (2, 3, 128, 128)
    assert edges[:, :, 0, 0] == pytest.approx(np.array([[-127 / 128] * 3, [1.0] * 3]), abs=1e-6)


def test_same_convolution_pads_as_tensorflow():
    conv = SameConv2d(1, 1, 3, 2)
    torch.nn.init.ones_(conv.weight)
    assert conv(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]  # the odd row at the end
    assert conv(torch.ones(1, 1, 5, 5))[0, 0, 0].tolist() == [4, 6, 4]
    assert conv(torch.ones(1, 1, 4, 5)).shape == (1, 1, 2, 3)


def test_shapes_channels_and_name(network):
    assert network.name == "efficientnet-lite0@128"
    assert load_features(size=64).name == "efficientnet-lite0@64"
    grey = digits(3)
    result = network(grey)
    assert result.shape == (3, 1280)
    assert result.dtype == torch.float32
    assert 0 <= float(result.min()) < float(result.max()) <= 6
    assert torch.equal(network(grey.expand(-1, 3, -1, -1)), result)
    assert torch.allclose(network(grey.double()), result, atol=1e-4)
    assert network(torch.zeros(1, 3, 8, 300)).shape == (1, 1280)


def test_independent_of_batch_and_mode(network):
    images = digits(7)
    together = network(images)
    network.train()
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-4)
    assert not network.network.training
    small = features.FeatureNetwork(network.network, partial(features.for_efficientnet, size=128), "small", batch=2)
    assert torch.allclose(small(images), together, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_resize_is_antialiased(network):
    # Fine stripes shrink to grey. Without antialiasing they would alias to stripes or to one of their colours.
    stripes = torch.ones(1, 1, 512, 512)
    stripes[..., ::2] = -1
    difference = network.prepare(stripes) - network.prepare(torch.zeros_like(stripes))
    assert float(difference[..., 1:-1].abs().max()) < 1e-5


def test_distance_grows_with_noise_and_blur():
    network = load_features(size=64)
    images = digits(80)
    real, other = network(images[:40]), network(images[40:])
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(images[40:].shape, generator=generator)
    noisy = [(images[40:] + level * grain).clamp(-1, 1) for level in (0.1, 0.3, 0.9)]
    blurred = [functional.avg_pool2d(images[40:], k, 1, k // 2, count_include_pad=False) for k in (5, 9, 15)]
    clean = frechet_distance(real, other, network.name)
    assert clean.features == "efficientnet-lite0@64"
    for ladder in (noisy, blurred):
        scores = [clean.score, *(frechet_distance(real, network(step)).score for step in ladder)]
        assert scores == sorted(scores)
        assert scores[-1] > 1.5 * scores[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 2, 16, 16), "got \\(2, 2, 16, 16\\)"),
        (torch.zeros(2, 1, 7, 16), "at least 8"),
        (torch.zeros(0, 1, 16, 16), "images must be"),
        (torch.zeros(1, 16, 16), "images must be"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 1, 16, 16), 255.0), "between 255 and 255"),
        (torch.full((1, 1, 16, 16), torch.nan), "floats in"),
    ],
)
def test_bad_pictures(network, images, message):
    with pytest.raises(ValueError, match=message):
        network(images)


def test_bad_network(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="did you mean efficientnet-lite0"):
        load_features("efficientnet-lite")
    with pytest.raises(UserError, match="unknown resize 'legacy_tensorflow': did you mean legacy"):
        load_features("inception", resize="legacy_tensorflow")
    with pytest.raises(ValueError, match="at least 32"):
        load_features(size=16)
    other = tmp_path / "weights.pth"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(features, "_weights_file", lambda: other)
    with pytest.raises(UserError, match="pinned"):
        load_features()
    monkeypatch.undo()
    monkeypatch.setattr(features, "PACKAGE", "no-such-package")
    with pytest.raises(UserError, match="pip install"):
        load_features()
