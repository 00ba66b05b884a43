"""Randomness follows from seed, step and name alone."""

import pytest
import torch

from disentangle.training.draws import Draws, Order


def test_equal_keys_give_equal_numbers_and_others_others() -> None:
    numbers = Draws(0, 1, 6).normal("a", 3)
    assert torch.equal(numbers, Draws(0, 1, 6).normal("a", 3))
    for other in (Draws(1, 1, 6).normal("a", 3), Draws(0, 2, 6).normal("a", 3), Draws(0, 1, 6).normal("b", 3)):
        assert (numbers != other).all()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_what_one_would_draw(world: int) -> None:
    parts = [Draws(5, 7, 6, rank, world).uniform("x", 2) for rank in range(world)]
    assert torch.equal(torch.cat(parts), Draws(5, 7, 6).uniform("x", 2))


def test_the_numbers_have_the_distribution_that_they_claim() -> None:
    normal, uniform = Draws(0, 1, 20_000).normal("n"), Draws(0, 1, 20_000).uniform("u")
    assert abs(normal.mean()) < 0.03
    assert abs(normal.var() - 1) < 0.04
    assert abs(uniform.mean() - 0.5) < 0.01
    assert 0 <= uniform.min() < 0.001 < 0.999 < uniform.max() < 1


@pytest.mark.parametrize("size", [1, 3, 10, 23])
def test_every_epoch_has_every_picture_once(size: int) -> None:
    order, n = Order(10, seed=3), 10
    steps = 30 * n // size + 1
    seen = torch.cat([order.batch(step, size) for step in range(1, steps + 1)])
    epochs = seen[: len(seen) // n * n].view(-1, n)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(n).expand(len(epochs), n))
    assert not torch.equal(epochs[0], epochs[1])


def test_a_step_in_the_middle_needs_no_step_before_it() -> None:
    whole = Order(10, seed=3)
    batches = [whole.batch(step, 7) for step in range(1, 9)]
    assert torch.equal(Order(10, seed=3).batch(8, 7), batches[-1])
