"""The fast learner is scikit-learn's gradient boosting wherever it is meant to be, and near it elsewhere."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.tree import DecisionTreeRegressor

from disentangle.metrics import boosting, noise, rotated
from disentangle.metrics.boosting import (
    RATES,
    Block,
    BoostedTrees,
    best_splits,
    cut,
    grow,
    running_sums,
    starting_point,
)


def labelled(samples, classes, blur=0.5, seed=0):
    """Four codes, of which the first two know the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, samples)
    codes = rng.standard_normal((samples, 4))
    codes[:, 0] = labels + blur * codes[:, 0]
    codes[:, 1] = labels % 2 + 2 * blur * codes[:, 1]
    return codes.astype(np.float32), labels


def distances(a, b):
    return np.abs(a.feature_importances_ - b.feature_importances_).max()


@pytest.mark.parametrize("classes", [2, 5])
def test_with_a_bin_a_value_it_is_the_published_learner(classes):
    codes, labels = labelled(450, classes)
    codes, labels, test_codes = codes[:250], labels[:250], codes[250:]
    for rounds in (1, 12):
        published = GradientBoostingClassifier(n_estimators=rounds, random_state=0).fit(codes, labels)
        mine = BoostedTrees(bins=255, rates=(0.1,) * rounds).fit(codes, labels)
        # Several splits of a small node are equally good; it takes one at random, and seeds differ by as much.
        assert distances(mine, published) < 0.006
        assert np.mean(mine.predict(codes) == published.predict(codes)) > 0.985
        assert np.mean(mine.predict(test_codes) == published.predict(test_codes)) > 0.94


def test_a_tree_has_the_splits_of_a_regression_tree():
    codes, labels = labelled(200, 3)
    values = [np.unique(code) for code in codes.T]
    binned = np.stack([np.searchsorted(v, code) for v, code in zip(values, codes.T)]).astype(np.uint8)
    targets = np.arange(3)[:, None] == labels
    start = starting_point(np.bincount(labels))
    grown, gain = grow(
        [Block(binned[:, :70], targets[:, :70], start, 224), Block(binned[:, 70:], targets[:, 70:], start, 224)], 0.1
    )
    total = np.zeros(4)
    for k, target in enumerate(targets):
        residual = target - target.mean()
        tree = DecisionTreeRegressor(max_depth=3, random_state=0).fit(codes, residual).tree_
        total += tree.compute_feature_importances(normalize=False) * len(codes)
        root = grown.levels[0][0]
        assert root.feature[k] == tree.feature[0]
        below = codes[:, tree.feature[0]] <= tree.threshold[0]
        assert np.array_equal(binned[root.feature[k]] <= root.threshold[k], below)
    assert gain == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(
    ("samples", "classes", "blur", "turned", "near"),
    [(400, 5, 0.4, False, 0.01), (1200, 4, 0.4, False, 0.02), (1200, 3, 0.5, True, 0.02), (1200, 2, 0.7, False, 0.02)],
)
def test_as_it_comes_it_is_near_the_published_learner(samples, classes, blur, turned, near):
    codes, labels = labelled(samples + 400, classes, blur)
    codes = rotated(codes).astype(np.float32) if turned else codes
    published = GradientBoostingClassifier(random_state=0).fit(codes[:samples], labels[:samples])
    mine = BoostedTrees().fit(codes[:samples], labels[:samples])
    assert distances(mine, published) < near
    accuracies = [np.mean(model.predict(codes[samples:]) == labels[samples:]) for model in (mine, published)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)


def test_codes_that_split_alike_share_the_credit():
    codes, labels = labelled(400, 4)
    twice = BoostedTrees().fit(codes[:, [0, 1, 0, 2]], labels).feature_importances_
    assert twice[0] == pytest.approx(twice[2], rel=1e-6)
    once = BoostedTrees().fit(codes[:, :3], labels).feature_importances_
    assert twice[0] + twice[2] == pytest.approx(once[0], abs=5e-3)


def test_blocks_of_samples_and_the_order_of_codes_do_not_matter(monkeypatch):
    codes, labels = labelled(500, 3)
    whole = BoostedTrees(bins=64).fit(codes, labels)
    other = BoostedTrees(seed=1, bins=64).fit(codes[:, [3, 1, 0, 2]], labels)
    assert other.feature_importances_ == pytest.approx(whole.feature_importances_[[3, 1, 0, 2]], abs=5e-3)
    monkeypatch.setattr(boosting, "BLOCK", 64)
    blocks = BoostedTrees(bins=64).fit(codes, labels)
    assert blocks.feature_importances_ == pytest.approx(whole.feature_importances_, abs=5e-3)
    assert np.mean(blocks.predict(codes) == whole.predict(codes)) > 0.99


def test_rates_start_and_sum_like_the_published_ones():
    assert RATES[0] == 0.1
    assert sum(RATES) == pytest.approx(10, rel=1e-3)
    assert all(a < b for a, b in pairwise(RATES))


def test_stops_when_nothing_is_left_to_learn():
    labels = np.arange(300) % 5
    perfect = BoostedTrees().fit(np.column_stack([noise(300, 1), labels]), labels)
    assert len(perfect.rounds_) < len(RATES)
    assert perfect.feature_importances_[1] > 1 - 1e-6
    assert np.array_equal(perfect.predict(np.column_stack([noise(300, 1, seed=1), labels])), labels)
    nothing = BoostedTrees().fit(np.zeros((300, 2)), labels)
    assert len(nothing.rounds_) == 1
    assert nothing.feature_importances_.tolist() == [0, 0]
    assert set(nothing.predict(np.ones((3, 2)))) <= set(range(5))


def test_labels_are_given_back_as_they_came():
    codes = np.array([[0.0], [0], [1], [1], [2], [2]])
    for labels in ([-7, -7, 3, 3, 3, 3], [5, 5, -2, -2, 9, 9], [4] * 6):
        model = BoostedTrees().fit(codes, np.array(labels))
        assert model.predict(codes).tolist() == labels
        assert model.classes_.tolist() == sorted(set(labels))


def test_a_node_that_cannot_be_split_goes_left_and_earns_nothing():
    counts = np.array([[[3.0], [0], [2]], [[0], [5], [0]]], dtype=np.float32)
    sums = np.array([[[3.0], [0], [-2]], [[0], [1], [0]]], dtype=np.float32)
    best = best_splits(sums.cumsum(axis=1), counts.cumsum(axis=1))
    assert (best.feature[0], best.threshold[0]) == (0, 0)
    assert best.credit[:, 0] == pytest.approx([9 / 3 + 4 / 2 - 1 / 5, 0])
    alone = best_splits(sums[1:].cumsum(axis=1), counts[1:].cumsum(axis=1))
    assert (alone.threshold[0], alone.credit[0, 0]) == (2, 0)  # the last bin: nothing is above it


def test_running_sums():
    for bins in (2, 64, 96):
        values = np.random.default_rng(0).integers(-3, 4, (2, bins, 3)).astype(np.float32)
        assert np.array_equal(running_sums(values), values.cumsum(axis=1))


def test_cuts():
    assert cut(np.array([3.0, 1, 1, 2]), 3).tolist() == [1.5, 2.5]
    assert cut(np.array([0.0, -0.0, 0.0]), 8).tolist() == []
    assert cut(np.array([-1.7e308, 1.7e308, 1e308]), 8).tolist() == pytest.approx([-3.5e307, 1.35e308])
    next_to_one = np.nextafter(1, 2)
    assert np.searchsorted(cut(np.array([1, next_to_one, 0]), 8), [0, 1, next_to_one]).tolist() == [0, 1, 2]
    clusters = np.repeat(np.arange(16), 50) + 0.001 * noise(800, 1)[:, 0]
    edges = cut(clusters, 17)
    assert len(edges) <= 16
    assert set(np.ceil(edges[np.abs(edges - np.round(edges)) > 0.1])) == set(range(1, 16))
    normal = noise(10_000, 1)[:, 0]
    counts = np.bincount(np.searchsorted(cut(normal, 64), normal))
    assert len(counts) == 64
    assert counts.max() <= 2 * 10_000 / 63 + 1
    few = np.random.default_rng(0).integers(0, 400, 1000) / 7
    assert 150 < len(cut(few, 64)) < 255


def test_predictions_stay_finite_where_the_published_ones_explode():
    codes, labels = labelled(300, 3, blur=0.01)
    labels[:3] = 2 - labels[:3]  # mistakes that no code explains: their leaves' curvature vanishes
    model = BoostedTrees(rates=(0.5,) * 60).fit(codes, labels)
    assert all(np.isfinite(grown.values).all() for grown in model.rounds_)
    assert np.mean(model.predict(codes) == labels) > 0.95


@pytest.mark.parametrize("bins", [1, 65537])
def test_bins_that_cannot_be_numbered(bins):
    with pytest.raises(ValueError, match=f"bins must be from 2 to 65536, got {bins}"):
        BoostedTrees(bins=bins)
