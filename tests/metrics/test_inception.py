"""The network of FID: that it is the published one, sees pictures as published, and is not taken from anywhere else."""

import hashlib

import numpy as np
import pytest
import torch

from disentangle.errors import UserError
from disentangle.metrics import features, frechet_distance, load_features, resize, weights
from disentangle.metrics.inception import Inception

SOME = [0, 500, 1000, 1500, 2047]


@pytest.fixture(scope="module")
def network():
    """Inception with random weights, each entry in the order of the published file from one generator."""
    rng = np.random.default_rng(0)
    network = Inception()
    for name, entry in network.state_dict().items():
        if entry.is_floating_point():
            values = rng.standard_normal(entry.shape, dtype=np.float32)
            if name.endswith(("running_var", "bn.weight")):
                values = 1 + 0.1 * np.tanh(values)
            else:
                values *= 0.1 if entry.ndim == 1 else (2 / entry[0].numel()) ** 0.5
            entry.copy_(torch.from_numpy(values))
    return network.eval()


def byte_pictures(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def floats(pictures):
    return pictures.float() / 127.5 - 1


def test_features_are_those_of_the_published_network(network):
    # torch-fidelity 0.4.0's FeatureExtractorInceptionV3 with these weights; with others, the same features as
    # pytorch-fid 0.3.0's fid_inception_v3, to the bit.
    seen = features.FeatureNetwork(network, features.RESIZES["legacy"], "toy")
    found = seen(floats(byte_pictures(1, 1, 3, 20, 30)))
    assert found.shape == (1, 2048)
    expected = [0.49001342, 0.02997489, 0.08239174, 1.73637688, 0.31989974]
    assert found[0, SOME].tolist() == pytest.approx(expected, abs=1e-4)
    assert float(found.mean()) == pytest.approx(0.50687587, abs=1e-4)
    assert network.fc(found)[0, :2].tolist() == pytest.approx([-0.03301221, -0.21588323], abs=1e-3)


def test_clean_features(network):
    # the same network on pictures that clean-fid 0.1.35 resized
    seen = features.FeatureNetwork(network, features.RESIZES["clean"], "toy")
    found = seen(floats(byte_pictures(1, 1, 3, 20, 30)))
    expected = [0.50594270, 0.01717038, 0.12663530, 1.96681821, 0.36560059]
    assert found[0, SOME].tolist() == pytest.approx(expected, abs=2e-4)


def test_resizes_are_the_published_ones():
    # torch-fidelity 0.4.0's interpolate_bilinear_2d_like_tensorflow1x and clean-fid 0.1.35's build_resizer("clean")
    small, large = byte_pictures(1, 1, 3, 20, 30).float(), byte_pictures(2, 1, 3, 400, 350).float()
    channels, rows, columns = [0, 1, 2], [0, 100, 298], [5, 150, 298]
    for images, legacy, clean in (
        (small, [241.45484924, 67.63052368, 36.0], [255.0, 42.68161774, 0.0]),
        (large, [212.79933167, 86.80618286, 165.52825928], [173.38047791, 93.93424988, 163.55545044]),
    ):
        assert resize.legacy(images, 299)[0, channels, rows, columns].tolist() == pytest.approx(legacy, abs=1e-4)
        assert resize.clean(images, 299)[0, channels, rows, columns].tolist() == pytest.approx(clean, abs=1e-2)
    full = byte_pictures(3, 1, 3, 299, 299).float()
    assert torch.equal(resize.legacy(full, 299), full)
    assert torch.equal(resize.clean(full, 299), full)


def test_legacy_resize_leans_on_the_border():
    # position i · 2/4: 0, 0.5, 1 and, beyond the last pixel, 1 again
    assert resize.legacy(torch.tensor([[[[0.0, 8.0]]]]).expand(1, 1, 2, 2), 4)[0, 0, 0].tolist() == [0, 4, 8, 8]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of torch's hub."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_without_weights_one_line_says_what_to_do(hub, tmp_path):
    with pytest.raises(UserError) as error:
        load_features("inception")
    message = str(error.value)
    assert "\n" not in message
    assert str(hub / "pt_inception-2015-12-05-6726825d.pth") in message
    assert str(hub / "weights-inception-2015-12-05-6726825d.pth") in message
    assert "efficientnet-lite0" in message
    with pytest.raises(UserError, match="elsewhere"):
        load_features("inception", weights=tmp_path / "elsewhere.pth")


def test_other_weights_are_refused(hub):
    file = hub / "weights-inception-2015-12-05-6726825d.pth"
    file.write_bytes(b"not the network")
    digest = hashlib.sha256(b"not the network").hexdigest()[:8]
    with pytest.raises(UserError, match=f"begins with {digest}, not 6726825d") as error:
        load_features("inception")
    assert "\n" not in str(error.value)


def test_published_file_is_found_and_makes_a_fid(hub, network, monkeypatch):
    name = features.INCEPTION_FILES[1]
    torch.save(network.state_dict(), hub / name)
    digest = hashlib.sha256((hub / name).read_bytes()).hexdigest()
    monkeypatch.setattr(features, "INCEPTION_FILES", (f"missing-{digest[:8]}.pth", f"weights-{digest[:8]}.pth"))
    (hub / name).rename(hub / features.INCEPTION_FILES[1])
    for kind in ("legacy", "clean"):
        loaded = load_features("inception", resize=kind)
        assert loaded.name == f"inception@{kind}"
        assert loaded.weights == digest
        assert frechet_distance(np.eye(3), np.eye(3), loaded.name).name == "FID"
    assert torch.equal(loaded.network.fc.weight, network.fc.weight)


def test_a_file_that_would_run_code_does_not(tmp_path):
    import pickle

    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Bad(), protocol=2))
    with pytest.raises(pickle.UnpicklingError):
        weights.read(tmp_path / "bad.pth")
    assert not (tmp_path / "written").exists()
