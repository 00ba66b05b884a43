"""UDR against disentanglement_lib's values, and the models that it is to tell apart."""

import json

import numpy as np
import pytest
import torch
from arrays import models

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import udr

pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")

PUBLISHED = {  # google-research/disentanglement_lib, commit a64b8b9, with scikit-learn 1.9.1 and SciPy 1.17.1
    ("lasso", True): [0.7337003660349657, 0.7298216346899494, 0.7298216346899501, 0.2319348015280004],
    ("lasso", False): [0.6288860280299706, 0.6255614011628138, 0.6255614011628143, 0.19880125845257174],
    ("spearman", True): [0.7064152689404446, 0.7016124625739852, 0.7016124625739852, 0.2228941630643313],
    ("spearman", False): [0.5948764587243538, 0.5918523025110267, 0.5918523025110267, 0.19006529110858844],
}


@pytest.mark.parametrize(("similarity", "filtered"), PUBLISHED)
def test_published_values(similarity, filtered):
    representations, kl = models()
    result = udr(representations, kl if filtered else None, similarity=similarity)
    assert result.model_scores == pytest.approx(PUBLISHED[similarity, filtered], abs=1e-9)
    assert result.best == 0
    assert result.score == pytest.approx(np.mean(PUBLISHED[similarity, filtered]), abs=1e-9)


def test_codes_that_mean_the_same():
    codes = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 4)))[0]
    codes = codes - codes.mean(axis=0)
    codes = np.linalg.qr(codes)[0]  # uncorrelated
    copies = [codes[:, order] * [3, -1, 1, 7] + 2 for order in ([0, 1, 2, 3], [2, 3, 1, 0], [3, 0, 1, 2])]
    assert udr(copies).score == pytest.approx(0.9, abs=1e-6)  # one less the lasso's penalty of 0.1
    assert udr(
        [np.arange(9.0)[:, None], -(np.arange(9.0)[:, None] ** 3)], similarity="spearman"
    ).score == pytest.approx(1)
    assert udr([torch.tensor(copy) for copy in copies]).score == udr(copies).score


def test_order_of_models_codes_and_pictures_does_not_matter():
    representations, _ = models(300)
    scores = udr(representations).model_scores
    order = np.random.default_rng(0).permutation(300)
    again = udr([codes[order][:, ::-1] for codes in representations[::-1]]).model_scores
    assert again == pytest.approx(scores[::-1], abs=1e-6)


@pytest.mark.parametrize("similarity", ["lasso", "spearman"])
def test_dead_codes_are_like_no_other(similarity):
    representations, _ = models(300)
    scores = udr(representations, similarity=similarity).model_scores
    dead = [np.column_stack([codes, np.full(300, 0.1)]) for codes in representations]
    with pytest.warns(DisentangleWarning, match="model 0: code 7 is constant"):
        result = udr(dead, similarity=similarity)
    assert result.model_scores == pytest.approx(scores, abs=1e-9)
    with pytest.warns(DisentangleWarning, match="model 1 has no informative code"):
        assert udr([dead[0], np.ones((300, 2))]).model_scores.tolist() == [0, 0]
    assert udr([dead[0][:, :7], dead[1][:, :3]]).pairwise.shape == (2, 2)  # numbers of codes may differ


def test_result():
    representations, kl = models(200)
    result = udr(representations, kl)
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["samples"] == [200]
    assert saved["informative"][0] == [True] * 5 + [False, True]
    assert "representations" not in saved
    assert result.interval[0] < result.score < result.interval[1]
    assert result.reference_points["perfect"] > 0.7 > 0.4 > result.reference_points["rotated"]
    assert result.reference_points["noise"] < 0.05
    for n in (1, 2, 3):
        few = udr([codes[:n] for codes in representations])
        assert 0 <= few.score <= 1
        assert few.interval == (0, 1)


def test_bad_input():
    representations, kl = models(20)
    with pytest.raises(ValueError, match="at least 2 models, got 1"):
        udr(representations[:1])
    with pytest.raises(ValueError, match=r"same pictures, got \[20, 19\]"):
        udr([representations[0], representations[1][:19]])
    with pytest.raises(ValueError, match=r"kl\[1\] must have a number for each of 7 codes, got 6"):
        udr(representations[:2], [kl[0], kl[1][:6]])
    with pytest.raises(ValueError, match="one entry a model, got 3 for 4"):
        udr(representations, kl[:3])
    with pytest.raises(ValueError, match=r"representations\[1\] must be finite"):
        udr([representations[0], np.full((20, 2), np.inf)])
    with pytest.raises(UserError, match="unknown similarity 'pearson': did you mean spearman"):
        udr(representations, similarity="pearson")
