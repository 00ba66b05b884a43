"""Edits and activity in closed form."""

import dataclasses

import pytest
import torch

from disentangle.directions import combine, discover, measure_activeness, move, place
from tests.fakes import LinearGenerator


@pytest.fixture
def generator() -> LinearGenerator:
    return LinearGenerator()


def test_move_adds_and_place_sets(generator: LinearGenerator) -> None:
    directions = discover(generator, "random", seed=2)
    latents = generator.sample_latents(3, torch.Generator().manual_seed(0))
    vector = directions.vectors[4]
    moved, placed = move(latents, directions, 4, [-1.0, 0.0, 2.5]), place(latents, directions, 4, [-1.0, 0.0, 2.5])
    assert moved.shape == placed.shape == (3, 3, 6)
    assert torch.equal(moved[:, 1], latents)
    torch.testing.assert_close(moved[:, 2] - latents, 2.5 * vector.expand(3, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(placed @ vector, torch.tensor([[-1.0, 0.0, 2.5]]).expand(3, -1), atol=1e-6, rtol=0)
    others = directions.vectors[[0, 1, 2, 3, 5]]
    expected = (latents @ others.mT)[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(placed @ others.mT, expected, atol=1e-5, rtol=0)


def test_sigma_is_the_unit(generator: LinearGenerator) -> None:
    directions = discover(generator, "subspace")
    wide = dataclasses.replace(directions, sigma=torch.arange(1.0, 7.0))
    latents = torch.zeros(1, 6)
    assert move(latents, wide, 2, [2.0])[0, 0].norm().item() == 6.0
    assert place(latents, wide, 2, [2.0])[0, 0].norm().item() == 6.0
    amounts = torch.tensor([1.0, 0, 0, -1.0, 0, 0])
    expected = wide.vectors[0] - 4.0 * wide.vectors[3]
    assert torch.equal(combine(latents, wide, amounts)[0], expected)


def test_combine_is_the_sum_of_moves(generator: LinearGenerator) -> None:
    directions = discover(generator, "random", seed=2)
    latents = generator.sample_latents(2, torch.Generator().manual_seed(1))
    amounts = [0.5, -1.0, 0.0, 2.0, 0.25, -3.0]
    expected = latents
    for k, amount in enumerate(amounts):
        expected = move(expected, directions, k, [amount])[:, 0]
    torch.testing.assert_close(combine(latents, directions, amounts), expected)
    assert combine(latents.double(), directions, amounts).dtype == torch.float64


def test_edits_refuse_what_does_not_fit(generator: LinearGenerator) -> None:
    directions = discover(generator, "subspace")
    with pytest.raises(ValueError, match=r"latents \(n, 6\)"):
        move(torch.zeros(1, 5), directions, 0, [0.0])
    with pytest.raises(ValueError, match=r"latents \(n, 6\)"):
        combine(torch.zeros(6), directions, [0.0] * 6)
    for k in (-1, 6):
        with pytest.raises(ValueError, match="possible: 0 to 5"):
            place(torch.zeros(1, 6), directions, k, [0.0])


def test_activity_of_a_linear_generator(generator: LinearGenerator) -> None:
    directions = measure_activeness(generator, discover(generator, "weights"), samples=3)
    # The picture is gain * s * position * u: the variance over (-2, 0, 2) is 8/3, the mean square of unit u 1/64.
    expected = 8 / 3 * (0.01 * directions.singular_values) ** 2 / 64
    torch.testing.assert_close(directions.activeness, expected, rtol=1e-4, atol=0)


def test_activity_does_not_depend_on_batches_and_follows_its_seed() -> None:
    generator = LinearGenerator(channels=3)
    plain = generator.synthesize
    generator.synthesize = lambda latents: torch.tanh(5 * plain(latents))  # type: ignore[method-assign]
    found = discover(generator, "random")
    first, second = (measure_activeness(generator, found, samples=5, seed=1, batch=batch) for batch in (1, 64))
    torch.testing.assert_close(first.activeness, second.activeness)
    assert not torch.equal(first.activeness, measure_activeness(generator, found, samples=5, seed=2).activeness)
    assert ((first.activeness > 0) & (first.activeness < 8 / 9)).all()
    with pytest.raises(ValueError, match="at least one sample"):
        measure_activeness(generator, found, samples=0)


def test_activity_finds_the_layer_that_does_nothing(generator: LinearGenerator) -> None:
    plain = generator.synthesize
    generator.synthesize = lambda latents: plain(latents * torch.tensor([0.0] * 3 + [1.0] * 3))  # type: ignore[method-assign]
    found = measure_activeness(generator, discover(generator, "subspace"), samples=2)
    assert found.singular_values.argmax() == 0, "the spectrum alone would put it first"
    assert [found.layers[k] for k in found.ranking(3)] == ["layer 2"] * 3
    assert found.activeness[0].item() == 0.0
    assert found.still.tolist() == [layer == "layer 1" for layer in found.layers]
