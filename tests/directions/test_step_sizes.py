"""Step sizes of a generator whose pictures are linear in the latents: a closed form."""

import dataclasses

import pytest
import torch
from fakes import LinearGenerator
from torch import Tensor

from disentangle.directions import discover, measure_step_sizes
from tests.directions.known import OnePixel, made


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).flatten(1).norm(dim=1)


def test_a_linear_generator_moves_by_its_scale() -> None:
    generator = LinearGenerator()  # scales 9, 6, 3 and 8.5, 5.5, 2.5 with orthonormal bases, a gain of 0.01
    found = measure_step_sizes(generator, discover(generator, "subspace"), euclidean, samples=3)
    torch.testing.assert_close(found.step_sizes, 0.01 * found.singular_values, rtol=1e-4, atol=0)
    wider = dataclasses.replace(found, sigma=torch.full((6,), 2.0))
    torch.testing.assert_close(
        measure_step_sizes(generator, wider, euclidean, samples=3).step_sizes, 2 * found.step_sizes, rtol=1e-4, atol=0
    )


def parabola(latents: Tensor) -> Tensor:
    """From 0 it is 2 to the one side and 0 to the other."""
    return latents[:, 0] + latents[:, 0].square()


def test_both_sides_count_and_start_at_the_middle() -> None:
    shares: list[float] = []
    for batch in (1, 3, 64):
        found = measure_step_sizes(
            OnePixel(1, parabola),
            made(torch.eye(1)),
            euclidean,
            samples=5,
            batch=batch,
            progress=lambda share, text: shares.append(share),
        )
        assert found.step_sizes.tolist() == [1.0]
    assert shares == [0.0] * 3


@pytest.mark.parametrize("seed", [0, 5])
def test_the_starts_are_drawn_from_the_seed(seed: int) -> None:
    product = OnePixel(2, lambda latents: latents.prod(1))
    found = measure_step_sizes(product, made(torch.eye(2)), euclidean, samples=7, seed=seed)
    starts = product.sample_latents(7, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(found.step_sizes, starts.abs().mean(0).flip(0))


def test_bad_input() -> None:
    generator = LinearGenerator()
    found = discover(generator, "subspace")
    with pytest.raises(ValueError, match="at least one sample"):
        measure_step_sizes(generator, found, euclidean, samples=0)
    with pytest.raises(ValueError, match=r"a distance for each of 4 pairs, got shape \(1,\)"):
        measure_step_sizes(generator, found, lambda a, b: torch.zeros(1), samples=2)
