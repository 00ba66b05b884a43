"""The cache: one file for one question, never a wrong or damaged answer."""

import os

import numpy as np
import pytest
from safetensors.numpy import save

from disentangle.errors import UserError
from disentangle.metrics import FeatureCache, Moments, cache_key
from disentangle.metrics.feature_cache import _text


class Network:
    name, weights = "toy@8", "abc"


KEY = cache_key(Network, samples=5, seed=0, data={"name": "digits", "size": 32, "channels": 1, "root": "f00"})
FEATURES = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


class Compute:
    """Counts how often it is asked."""

    def __init__(self, value=FEATURES):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def test_computed_once(tmp_path):
    compute = Compute()
    for _ in range(3):
        found = FeatureCache(tmp_path / "new").features(KEY, compute)
        assert np.array_equal(found, FEATURES)
        assert found.dtype == np.float32
    assert compute.calls == 1
    assert len(os.listdir(tmp_path / "new")) == 1


def test_moments(tmp_path):
    compute = Compute(Moments.of(FEATURES))
    for _ in range(2):
        found = FeatureCache(tmp_path).moments(KEY, compute)
        assert found.covariance == pytest.approx(np.cov(FEATURES.T.astype(float)), rel=1e-12)
        assert found.n == 5
    assert compute.calls == 1
    other = Compute()
    FeatureCache(tmp_path).features(KEY, other)  # the same key, but not the same kind
    assert other.calls == 1


@pytest.mark.parametrize(
    "change",
    [{"samples": 6}, {"seed": 1}, {"weights": "abd"}, {"network": "toy@9"}, {"data": {**KEY["data"], "root": "f01"}}],
)
def test_all_that_matters_is_in_the_key(tmp_path, change):
    cache, compute = FeatureCache(tmp_path), Compute()
    cache.features(KEY, compute)
    cache.features(KEY | change, compute)
    assert compute.calls == 2
    assert len(os.listdir(tmp_path)) == 2


def test_order_of_the_key_does_not_matter(tmp_path):
    cache = FeatureCache(tmp_path)
    assert cache.path(dict(reversed(KEY.items()))) == cache.path(KEY)


def test_another_version_is_computed_again(tmp_path, monkeypatch):
    cache, compute = FeatureCache(tmp_path), Compute()
    cache.features(KEY, compute)
    monkeypatch.setattr("disentangle.metrics.feature_cache.VERSION", 2)
    cache.features(KEY, compute)
    assert compute.calls == 2


def damaged(raw):
    flipped = bytearray(raw)
    flipped[-1] ^= 1
    return {
        "a flipped bit": bytes(flipped),
        "cut short": raw[:-4],
        "empty": b"",
        "text": b"hello",
        "head only": raw[:60],
    }


@pytest.mark.parametrize("kind", damaged(b"x" * 99))
def test_a_damaged_file_is_computed_again_and_mended(tmp_path, kind):
    cache, compute = FeatureCache(tmp_path), Compute()
    cache.features(KEY, compute)
    path = cache.path(KEY)
    path.write_bytes(damaged(path.read_bytes())[kind])
    for _ in range(2):
        assert np.array_equal(cache.features(KEY, compute), FEATURES)
    assert compute.calls == 2


def test_a_file_of_another_key_is_not_taken(tmp_path):
    cache, compute = FeatureCache(tmp_path), Compute(FEATURES + 1)
    other = KEY | {"seed": 7}
    cache.features(other, Compute())
    cache.path(other).rename(cache.path(KEY))
    assert np.array_equal(cache.features(KEY, compute), FEATURES + 1)


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(UserError, match=r"No space left on device; make room") as error:
            cache.features(KEY, Compute())
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ZeroDivisionError):
        cache.features(KEY, lambda: 1 / 0)
    assert os.listdir(tmp_path) == []


def test_a_network_without_a_name_has_no_key():
    with pytest.raises(ValueError, match="without a name"):
        cache_key(lambda images: images, samples=1, seed=0, data={})


def test_what_was_used_longest_ago_makes_room(tmp_path):
    keys = [{**KEY, "samples": i} for i in range(4)]
    size = len(save({"array": FEATURES}, {"key": _text(keys[0], "features"), "sha256": "0" * 64}))
    cache = FeatureCache(tmp_path, limit=3 * size + size // 2)
    computes = [Compute(FEATURES) for _ in keys]
    for i, (key, compute) in enumerate(zip(keys[:3], computes)):
        cache.features(key, compute)
        os.utime(cache.path(key), (i, i))
    cache.features(keys[0], computes[0])  # used again
    (tmp_path / ".features.old").write_bytes(b"half")
    os.utime(tmp_path / ".features.old", (0, 0))
    (tmp_path / ".features.new").write_bytes(b"half")
    cache.features(keys[3], computes[3])
    assert [cache.path(key).exists() for key in keys] == [True, False, True, True]
    assert sorted(file.name for file in tmp_path.glob(".features*")) == [".features.new"]
    FeatureCache(tmp_path, limit=0).features(keys[1], computes[1])
    assert [cache.path(key).exists() for key in keys] == [False, True, False, False], "the newest stays"
