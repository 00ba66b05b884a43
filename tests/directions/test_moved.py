"""What the measurements of directions share: where the pictures are placed, and that there is something to measure."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from disentangle.directions import Directions, measure_activeness, measure_effects, measure_step_sizes
from disentangle.directions.moved import moved_pictures
from disentangle.errors import UserError
from disentangle.generator import Generator
from tests.directions.known import OnePixel, made


def sum_of(latents: Tensor) -> Tensor:
    return latents.sum(1)


def test_every_sample_at_every_position_in_parts_of_a_batch() -> None:
    generator = OnePixel(2, sum_of)
    told: list[tuple[float, str]] = []
    found = moved_pictures(
        generator, made(torch.eye(2)), (-1.0, 0.5), samples=3, seed=4, batch=4, what="size",
        progress=lambda share, text: told.append((share, text)),
    )  # fmt: skip
    parts = [list(each) for each in found]
    assert [[len(part) for part in each] for each in parts] == [[4, 2]] * 2
    starts = generator.sample_latents(3, torch.Generator().manual_seed(4))
    for k, each in enumerate(parts):
        expected = starts[:, 1 - k, None] + torch.tensor([-1.0, 0.5])
        torch.testing.assert_close(torch.cat(each).flatten(), expected.flatten())
    assert told == [(0.0, "size of direction 0 of 2"), (0.5, "size of direction 1 of 2")]


def test_activeness_sets_the_position_and_does_not_add_to_it() -> None:
    # At -2, 0 and 2 of a parabola z + z² are 2, 0 and 6, wherever the start.
    parabola = OnePixel(2, lambda latents: latents[:, 0] + latents[:, 0].square())
    found = measure_activeness(parabola, made(torch.eye(2)), samples=5)
    torch.testing.assert_close(found.activeness, torch.tensor([56 / 9, 0.0]))


MEASUREMENTS: dict[str, Callable[[Generator, Directions], Directions]] = {
    "activeness": measure_activeness,
    "step sizes": lambda generator, found: measure_step_sizes(generator, found, lambda a, b: (a - b).flatten()),
    "effects": lambda generator, found: measure_effects(
        generator, found, lambda images: [torch.full((len(images), 2), 0.5)], factors=("hue",), readable=torch.ones(1)
    ),
}


@pytest.mark.parametrize("measurement", MEASUREMENTS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_pictures_that_are_not_finite(measurement: str, value: float) -> None:
    # Of one position of one sample only.
    generator = OnePixel(1, lambda latents: torch.where(latents[:, 0] < -0.9, value, 0.5))
    with pytest.raises(UserError, match="pictures are not finite: the training of the generator has diverged"):
        MEASUREMENTS[measurement](generator, made(torch.eye(1)))
