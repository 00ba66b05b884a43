"""The subspace layer against its formula."""

import pytest
import torch
from torch.autograd import gradcheck

from disentangle.subspace import SubspaceLayer


def layer(features: int = 10, rank: int = 4, seed: int = 0) -> SubspaceLayer:
    """A float64 layer away from its initial values."""
    generator = torch.Generator().manual_seed(seed)
    made = SubspaceLayer(features, rank, generator).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return made


@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3), (0,)])
def test_forward_is_the_basis_times_the_scaled_latents_plus_the_mean(batch: tuple[int, ...]) -> None:
    made = layer()
    z = torch.randn(*batch, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.einsum("qd,q,...q->...d", made.basis, made.scale, z) + made.mean
    torch.testing.assert_close(made(z), expected, rtol=1e-13, atol=1e-13)


def test_matrix_is_the_linear_part_of_forward_without_gradient() -> None:
    made = layer()
    identity = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(made.matrix().T, made(identity).detach() - made.mean.detach(), rtol=1e-13, atol=1e-13)
    assert made.matrix().shape == (10, 4)
    assert not made.matrix().requires_grad


def test_initial_values() -> None:
    made = SubspaceLayer(300, 6, torch.Generator().manual_seed(0))
    assert {name: tuple(p.shape) for name, p in made.named_parameters()} == {
        "basis": (6, 300),
        "scale": (6,),
        "mean": (300,),
    }
    assert torch.equal(made.scale, torch.tensor([18.0, 15.0, 12.0, 9.0, 6.0, 3.0]))
    assert torch.equal(made.mean, torch.zeros(300))
    torch.testing.assert_close(made.basis @ made.basis.T, torch.eye(6), rtol=0, atol=1e-6)
    assert (made.rank, made.features) == (6, 300)


def test_a_full_basis_is_a_rotation() -> None:
    basis = SubspaceLayer(5, 5).basis.double()
    torch.testing.assert_close(basis.T @ basis, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_seed_decides_the_basis() -> None:
    first, again, other = (SubspaceLayer(9, 3, torch.Generator().manual_seed(seed)).basis for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients() -> None:
    made = layer(features=5, rank=3)
    z = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    names = [name for name, _ in made.named_parameters()]

    def call(latents: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(made, dict(zip(names, values)), latents)

    assert gradcheck(call, (z, *made.parameters()))


def test_the_latents_move_the_features_by_their_scale() -> None:
    made = SubspaceLayer(50, 3, torch.Generator().manual_seed(0)).double()
    for index, length in enumerate((9.0, 6.0, 3.0)):
        moved = made(torch.eye(3, dtype=torch.float64)[index]) - made(torch.zeros(3, dtype=torch.float64))
        assert float(moved.detach().norm()) == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize(("features", "rank"), [(4, 5), (4, 0), (4, -1), (0, 1)])
def test_a_rank_out_of_range_is_refused(features: int, rank: int) -> None:
    with pytest.raises(ValueError, match=rf"rank must lie between 1 and features \({features}\), got {rank}"):
        SubspaceLayer(features, rank)


@pytest.mark.parametrize("wrong", [(6, 3), (3, 6), (8, 2), (4, 1)])
def test_latents_of_another_size_are_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        layer()(torch.zeros(wrong, dtype=torch.float64))
