"""Condition numbers of known matrices, and of what a model's meta-layers saw."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from disentangle.conditioning import condition_metrics, condition_number, covariances
from disentangle.models import DecorrelatedBatchNorm2d


def rotated(values: Sequence[float], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A matrix with these eigenvalues."""
    n = len(values)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    a = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.mT
    return ((a + a.mT) / 2).to(dtype)


@pytest.mark.parametrize("exponent", [0, 3, 8, 12])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_known_matrices(exponent: int, scale: float) -> None:
    values = [scale * 10 ** (-exponent * i / 4) for i in range(5)]
    found = condition_number(rotated(values))
    assert float(found) == pytest.approx(10**exponent, rel=1e-2 if exponent == 12 else 1e-5)
    assert float(found.over_rank) == float(found)
    assert int(found.rank) == 5
    assert found.with_ridge is None
    assert found.value.dtype == torch.float64


def test_a_single_number() -> None:
    assert float(condition_number(torch.tensor([[3.0]]))) == 1


def test_the_ridge_counts_only_where_asked_for() -> None:
    found = condition_number(rotated([4.0, 1.0, 0.5]), eps=0.5)
    assert float(found) == pytest.approx(8)
    assert float(found.with_ridge) == pytest.approx(4.5)
    assert float(condition_number(rotated([4.0, 1.0, 0.5]), eps=0.0).with_ridge) == pytest.approx(8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_singular_matrix(dtype: torch.dtype) -> None:
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.linalg.eigvalsh(x.mT @ x)
    found = condition_number((x @ x.mT).to(dtype), eps=0.5)
    assert int(found.rank) == 3
    assert float(found.over_rank) == pytest.approx(float(exact[-1] / exact[0]), rel=1e-4)
    assert float(found.with_ridge) == pytest.approx(float(exact[-1] + 0.5) / 0.5, rel=1e-4)
    if dtype == torch.float64:
        assert math.isinf(float(found))
    else:  # rounding made of it a matrix of full rank, or took it below zero
        assert float(found) > 1e6


def test_a_zero_matrix() -> None:
    found = condition_number(torch.zeros(3, 3), eps=0.1)
    assert (float(found), int(found.rank), float(found.over_rank)) == (math.inf, 0, math.inf)
    assert float(found.with_ridge) == 1
    assert math.isinf(float(condition_number(torch.zeros(3, 3), eps=0.0).with_ridge))


def test_batches() -> None:
    a = torch.stack([rotated([2.0, 1.0]), rotated([30.0, 1.0]), rotated([1.0, 0.0]), torch.zeros(2, 2)]).view(
        2, 2, 2, 2
    )
    found = condition_number(a, eps=1.0)
    expected = torch.tensor([[2.0, 30.0], [math.inf, math.inf]]).double()
    assert torch.allclose(found.value, expected)
    assert found.rank.tolist() == [[2, 2], [1, 0]]
    assert torch.allclose(found.over_rank, torch.tensor([[2, 30], [1, math.inf]]).double())
    assert torch.allclose(found.with_ridge, torch.tensor([[1.5, 15.5], [2, 1]]).double())
    with pytest.raises(ValueError, match="of 4 matrices"):
        float(found)
    assert condition_number(torch.zeros(0, 3, 3)).value.shape == (0,)


def test_the_rank_is_counted_from_where_it_is_told() -> None:
    found = condition_number(rotated([1.0, 1e-3, 1e-6]), rtol=1e-4)
    assert int(found.rank) == 2
    assert float(found.over_rank) == pytest.approx(1e3)
    assert float(found) == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]]), "NaN or infinite"),
        (torch.eye(2) * torch.inf, "NaN or infinite"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), r"must be symmetric, but C - Cᵀ is 5.0e-01"),
        (torch.diag(torch.tensor([1.0, -0.5])), "not positive semi-definite: its least eigenvalue is -5.0e-01"),
        (-torch.eye(2), "not positive semi-definite"),
        (torch.stack([torch.eye(2), -torch.eye(2)]), "not positive semi-definite"),
        (torch.zeros(2, 3), "square"),
        (torch.zeros(2), "square"),
        (torch.zeros(0, 0), "n ≥ 1"),
        (torch.eye(2, dtype=torch.int64), "floating-point"),
        (torch.eye(2, dtype=torch.complex64), "floating-point"),
    ],
)
def test_bad_matrices_are_refused(matrix: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        condition_number(matrix)


@pytest.mark.parametrize("arguments", [{"eps": -1.0}, {"eps": math.nan}, {"rtol": 1.0}, {"rtol": -0.1}])
def test_bad_numbers_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        condition_number(torch.eye(2), **arguments)


class Layer(nn.Module):
    """Any module with a ``last_covariance`` is a meta-layer."""

    def __init__(self, covariance: Tensor | None, eps: float | None = None) -> None:
        super().__init__()
        self.last_covariance = covariance
        if eps is not None:
            self.eps = eps


def test_the_layers_of_a_model() -> None:
    first = torch.stack([rotated([v, 1.0]) for v in (10.0, 1000.0, 1e5)])
    model = nn.Sequential(
        Layer(first, eps=1.0), nn.Linear(2, 2), Layer(None), nn.Sequential(Layer(rotated([1.0, 0.0])))
    )
    assert list(covariances(model)) == ["0", "3.0"]
    assert covariances(model)["0"] is first
    assert condition_metrics(model) == pytest.approx(
        {
            "log10_kappa/0": 3,
            "log10_kappa_rank/0": 3,
            "log10_kappa_ridge/0": math.log10(1001 / 2),
            "rank/0": 2,
            "log10_kappa/3.0": math.inf,
            "log10_kappa_rank/3.0": 0,
            "rank/3.0": 1,
        },
        abs=1e-9,
    )
    assert condition_metrics(nn.Linear(2, 2)) == {}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("pictures", [1, 16])
def test_a_stem_of_27_inputs_has_rank_27(autocast: bool, pictures: int) -> None:
    """A 3×3 convolution of three channels makes 64 of 27 numbers. Rounding, which fills the rank, is not counted."""
    torch.manual_seed(0)
    x = torch.randn(pictures, 3, 32, 32)
    model = nn.Sequential(nn.Conv2d(3, 64, 3, bias=False), DecorrelatedBatchNorm2d(64))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(x)
    found = condition_metrics(model)
    assert found["rank/1"] == 27
    exact = model[0].double()(x.double()).detach().movedim(1, 3).flatten(0, 2)
    values = torch.linalg.eigvalsh(torch.cov(exact.mT, correction=0))
    over_rank = float((values[-1] / values[-27]).log10())
    with_ridge = float(((values[-1] + 1e-2) / 1e-2).log10())
    assert found["log10_kappa_rank/1"] == pytest.approx(over_rank, abs=1e-2)
    assert found["log10_kappa_ridge/1"] == pytest.approx(with_ridge, abs=1e-2)
    assert found["log10_kappa/1"] > 6, "of a singular covariance the rounding, if anything"


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got list"):
        condition_number([[1.0]])  # type: ignore[arg-type]
