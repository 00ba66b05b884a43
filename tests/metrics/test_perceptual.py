"""Distances between pictures: LPIPS is the package's, the embedded one says what it is, and nothing is downloaded."""

import hashlib

import pytest
import torch
import torchvision

from disentangle.errors import UserError
from disentangle.metrics import load_distance, perceptual


def pair(*shape):
    draw = torch.Generator().manual_seed(0)
    return torch.rand(2, *shape, generator=draw) * 2 - 1


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_embedded_distance():
    distance = load_distance()
    assert distance.name == "efficientnet-lite0@128 distance"
    assert "LPIPS" not in distance.name
    a, b = pair(3, 3, 32, 32)
    found = distance(a, b)
    assert found.shape == (3,)
    assert (found > 0.1).all()
    assert (found <= 5 * 4).all()  # five maps, each of unit vectors at most 2 apart
    assert torch.equal(distance(a, a), torch.zeros(3))
    assert torch.allclose(distance(b, a), found)
    assert torch.allclose(distance(a[:1], b[:1]), found[:1], rtol=1e-4)
    grey = a[:, :1]
    assert torch.allclose(distance(grey, -grey), distance(grey.expand(-1, 3, -1, -1), -grey.expand(-1, 3, -1, -1)))


def test_embedded_distance_grows_like_the_square():
    distance = load_distance()
    a, b = pair(2, 1, 64, 64)
    near, far = (distance(a, a + step * b) for step in (1e-3, 2e-3))
    assert (far / near).tolist() == pytest.approx([4, 4], rel=0.1)
    a.requires_grad_()
    distance(a, b).sum().backward()
    assert a.grad.abs().max() > 0


@pytest.mark.parametrize(("name", "builder"), [("alex", "alexnet"), ("squeeze", "squeezenet1_1")])
def test_lpips_is_that_of_the_package(hub, monkeypatch, name, builder):
    import lpips

    torch.manual_seed(0)
    backbone = getattr(torchvision.models, builder)(weights=None)
    file = hub / "backbone.pth"
    torch.save(backbone.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(hub / f"net-{digest}.pth")
    monkeypatch.setitem(perceptual.BACKBONES, name, f"net-{digest}.pth")
    distance = load_distance(f"lpips-{name}")
    assert distance.name == f"LPIPS ({name}, 0.1)"
    # the package with the backbone that it would have downloaded
    monkeypatch.setattr(lpips.pretrained_networks.tv, builder, lambda **settings: backbone)
    reference = lpips.LPIPS(net=name, verbose=False)
    a, b = pair(2, 3, 64, 64)
    assert torch.equal(distance(a, b), reference(a, b).flatten())


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg", "lpips-squeeze"])
def test_without_the_backbone_one_line_says_what_to_do(hub, name):
    with pytest.raises(UserError) as error:
        load_distance(name)
    message = str(error.value)
    assert "\n" not in message
    assert str(hub / perceptual.BACKBONES[name.removeprefix("lpips-")]) in message
    assert "efficientnet-lite0" in message


def test_bad_input():
    with pytest.raises(UserError, match="did you mean lpips-vgg"):
        load_distance("lpips-vgg16")
    distance = load_distance()
    for a, b in ((torch.zeros(1, 3, 8, 8), torch.zeros(2, 3, 8, 8)), (torch.zeros(1, 2, 8, 8),) * 2):
        with pytest.raises(ValueError, match="expected pictures"):
            distance(a, b)
