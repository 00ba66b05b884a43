"""The estimates of β-TCVAE against the exact aggregate posterior of a data set so small that it can be enumerated."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from disentangle.training.objectives import BetaTCVAELoss, BetaVAELoss
from disentangle.training.objectives.total_correlation import decompose_kl, log_weights
from disentangle.training.objectives.vae import Codes

PICTURES, CODES = 6, 3


def data_set() -> Codes:
    """The posteriors of every picture, and a draw from each."""
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, noise = torch.randn(3, PICTURES, CODES, generator=generator, dtype=torch.float64)
    return Codes(mean, log_variance, mean + noise * (0.5 * log_variance).exp())


def densities(codes: Codes) -> Tensor:
    """``q(z_i | x_j)``, of each code: ``(i, j, d)``."""
    posteriors = torch.distributions.Normal(codes.mean, (0.5 * codes.log_variance).exp())
    return posteriors.log_prob(codes.latents[:, None]).exp()


def part(codes: Codes, batch: list[int]) -> Codes:
    return Codes(codes.mean[batch], codes.log_variance[batch], codes.latents[batch])


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_stratified_weights_are_unbiased_and_exact_for_the_whole_set(n: int) -> None:
    """For latents of any picture, and all batches with that picture, the mean estimate is the aggregate density."""
    every = densities(data_set()).prod(2)
    weights = log_weights(n, PICTURES, "stratified").exp()
    spreads = []
    for i in range(PICTURES):
        others = [j for j in range(PICTURES) if j != i]
        estimates = {
            (own, chosen): float(weights[own] @ every[i, [*chosen[:own], i, *chosen[own:]]])
            for own in range(n)
            for chosen in itertools.combinations(others, n - 1)
        }
        exact = float(every[i].mean())
        assert sum(estimates.values()) / len(estimates) == pytest.approx(exact, rel=1e-12)
        spreads.append((max(estimates.values()) - min(estimates.values())) / exact)
    assert max(spreads) < 1e-12 if n == PICTURES else max(spreads) > 0.1


def test_weighted_weights_are_those_of_the_paper_and_too_small() -> None:
    every = densities(data_set()).prod(2)
    weights = log_weights(3, PICTURES, "weighted").exp()
    assert torch.allclose(weights, torch.full((3, 3), 1 / 18).double(), rtol=1e-14)
    for i in range(PICTURES):
        others = [j for j in range(PICTURES) if j != i]
        estimates = [float(weights[0] @ every[i, [i, *chosen]]) for chosen in itertools.combinations(others, 2)]
        mean = sum(estimates) / len(estimates)
        assert mean == pytest.approx(float(every[i, i] + every[i, others].sum() * 2 / 5) / 18, rel=1e-12)
        assert mean < float(every[i].mean())


def test_the_whole_set_is_decomposed_exactly() -> None:
    codes = data_set()
    q, prior = densities(codes), torch.distributions.Normal(0.0, 1.0).log_prob(codes.latents)
    joint, marginals = q.prod(2).mean(1).log(), q.mean(1).log()
    parts = decompose_kl(codes.latents, codes.mean, codes.log_variance, PICTURES, "stratified")
    own = q.diagonal().mT.log().sum(1)
    assert float(parts.mi) == pytest.approx(float((own - joint).mean()), rel=1e-12)
    assert float(parts.tc) == pytest.approx(float((joint - marginals.sum(1)).mean()), rel=1e-12)
    assert float(parts.dwkl) == pytest.approx(float((marginals - prior).sum(1).mean()), rel=1e-12)


@pytest.mark.parametrize("sampling", ["weighted", "stratified"])
def test_a_batch_is_decomposed_with_the_weights(sampling: str) -> None:
    codes, batch, pictures = data_set(), [4, 0, 3], 50
    q = densities(codes)
    joint, marginals, sums = [], [], []
    for i in batch:
        weights = {j: (1 / 50 if i == j else 49 / 50 / 2) if sampling == "stratified" else 1 / 150 for j in batch}
        joint.append(math.log(sum(weights[j] * float(q[i, j].prod()) for j in batch)))
        marginals.append(sum(math.log(sum(weights[j] * float(q[i, j, k]) for j in batch)) for k in range(CODES)))
        sums.append(float(q[i, i].log().sum()) + float((codes.latents[i].square() + math.log(2 * math.pi)).sum()) / 2)
    some = part(codes, batch)
    parts = decompose_kl(some.latents, some.mean, some.log_variance, pictures, sampling)
    assert float(parts.tc) == pytest.approx(sum(joint) / 3 - sum(marginals) / 3, rel=1e-12)
    assert float(parts.mi + parts.tc + parts.dwkl) == pytest.approx(sum(sums) / 3, rel=1e-12)


def test_the_three_parts_have_weights_of_their_own() -> None:
    codes = data_set()
    kl = float(codes.kl.sum() / PICTURES)
    parts = decompose_kl(codes.latents, codes.mean, codes.log_variance, 9, "weighted")
    terms = BetaTCVAELoss(alpha=2.0, beta=5.0, gamma=0.5).regularise(codes, 1, pictures=9)
    expected = 2 * (kl - parts.tc - parts.dwkl) + 5 * parts.tc + 0.5 * parts.dwkl
    assert float(terms["regulariser"]) == pytest.approx(float(expected), rel=1e-12)
    assert [float(terms[name]) for name in ("mi", "tc", "dwkl")] == [float(value) for value in parts]
    equal = BetaTCVAELoss(alpha=3.0, beta=3.0, gamma=3.0).regularise(codes, 1, pictures=9)["regulariser"]
    assert float(equal) == pytest.approx(float(BetaVAELoss(beta=3.0).regularise(codes, 1)["regulariser"]), rel=1e-12)


def test_independent_codes_have_no_total_correlation() -> None:
    """A data set whose codes take all values of a grid: its aggregate posterior is the product of its marginals."""
    values = torch.tensor([-2.0, -0.5, 1.0, 2.5], dtype=torch.float64)
    mean = torch.cartesian_prod(values, values)
    latents = mean + 0.3 * torch.randn(16, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_variance = torch.full_like(mean, 0.09).log()
    parts = decompose_kl(latents, mean, log_variance, 16, "stratified")
    assert float(parts.tc) == pytest.approx(0, abs=1e-12)
    tied = torch.stack([mean[:, 0], mean[:, 0]], 1)
    assert float(decompose_kl(tied, tied, log_variance - 4, 16, "stratified").tc) == pytest.approx(
        math.log(4), rel=1e-6
    )


@pytest.mark.parametrize(
    ("batch", "pictures", "sampling", "words"),
    [
        (5, 4, "weighted", "from 4 pictures cannot have 5"),
        (1, 4, "stratified", "at least 2"),
        (2, 4, "both", "'weighted' or 'stratified', got 'both'"),
    ],
)
def test_what_cannot_be_estimated_is_refused(batch: int, pictures: int, sampling: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        log_weights(batch, pictures, sampling)  # type: ignore[arg-type]


def test_a_single_picture_is_its_own_aggregate() -> None:
    assert log_weights(1, 1, "stratified").tolist() == [[0.0]]
