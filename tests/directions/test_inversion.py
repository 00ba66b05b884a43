"""Inversion against closed forms: least squares and ridge regression of a linear generator."""

import math

import pytest
import torch
from torch import Tensor, nn

from disentangle.directions.inversion import PLATEAU, RELEVANT, Inversion, _is_level, invert
from tests.fakes import LinearGenerator


@pytest.fixture
def generator() -> LinearGenerator:
    return LinearGenerator(size=4, gain=0.2)


def affine(generator: LinearGenerator) -> tuple[Tensor, Tensor]:
    """The generator as a matrix ``(pixels, d)`` and an offset, in float64."""
    offset = generator.synthesize(torch.zeros(1, 6)).detach().flatten().double()
    columns = generator.synthesize(torch.eye(6)).detach().flatten(1).double() - offset
    return columns.mT, offset


def some_pictures(n: int) -> Tensor:
    """Pictures that the generator cannot make exactly."""
    return 0.3 * torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("prior", "encoded"), [(0.0, True), (0.1, False)])
def test_a_linear_generator_gives_the_ridge_solution(generator: LinearGenerator, prior: float, encoded: bool) -> None:
    images = some_pictures(1)
    matrix, offset = affine(generator)
    pixels, d = matrix.shape
    rest = images.flatten().double() - offset
    normal = matrix.mT @ matrix / pixels + prior / d * torch.eye(d, dtype=torch.float64)
    expected = torch.linalg.solve(normal, matrix.mT @ rest / pixels)
    found = invert(
        generator,
        images,
        encode=(lambda images: torch.full((len(images), d), 0.5)) if encoded else None,
        steps=400,
        prior_weight=prior,
    )

    def loss(latents: Tensor) -> float:
        return float((rest - matrix @ latents).square().mean() + prior * latents.square().mean())

    # The minimum is flat: latents this near to it have its loss to four digits.
    assert found.latents[0].double() == pytest.approx(expected, abs=4e-3)
    assert loss(found.latents[0].double()) == pytest.approx(loss(expected), rel=3e-5)
    error = (rest - matrix @ expected).square().mean().sqrt()
    assert float(found.errors[0]) == pytest.approx(float(error), rel=1e-3)
    if encoded:
        start = (rest - 0.5 * matrix.sum(1)).square().mean().sqrt()
        assert float(found.start_errors[0]) == pytest.approx(float(start), rel=1e-5)


def test_each_picture_is_inverted_as_if_alone(generator: LinearGenerator) -> None:
    images = some_pictures(3)
    together = invert(generator, images, steps=5, seed=3)
    for i, image in enumerate(images.split(1)):
        alone = invert(generator, image, steps=5, seed=3)
        assert torch.equal(alone.latents[0], together.latents[i])
        assert torch.equal(alone.history[0], together.history[i])
    far = generator.synthesize(torch.full((1, 6), 3.0)).detach()
    assert not torch.equal(*(invert(generator, far, steps=0, seed=seed).starts for seed in (3, 4)))


def test_codes_are_kept_where_the_encoder_knows_them(generator: LinearGenerator) -> None:
    codes = torch.tensor([[0.3, math.nan, -0.4, math.nan, 0.1, 0.2]])
    found = invert(generator, some_pictures(1), encode=lambda _: codes, steps=0)
    known = ~codes.isnan()
    assert torch.equal(found.starts[known], codes[known])
    assert bool(found.starts.isfinite().all())
    # Of the draws for the others and the mean it is the best.
    drawn = torch.cat([torch.zeros(1, 6), generator.sample_latents(16, torch.Generator().manual_seed(0))])
    drawn[:, known[0]] = codes[known]
    squared = (generator.synthesize(drawn) - some_pictures(1)).square().flatten(1).mean(1)
    losses = squared + 1e-3 * drawn.square().mean(1)
    assert torch.equal(found.starts[0], drawn[losses.argmin()])


def test_an_encoder_in_training_will_do(generator: LinearGenerator) -> None:
    weight = nn.Parameter(0.1 * torch.randn(16, 6, generator=torch.Generator().manual_seed(0)))
    images = some_pictures(2)
    found = invert(generator, images, encode=lambda images: images.flatten(1) @ weight, steps=2)
    torch.testing.assert_close(found.starts, images.flatten(1) @ weight.detach())
    assert not found.starts.requires_grad
    assert not found.latents.requires_grad
    assert weight.grad is None


def test_the_best_iterate_is_kept(generator: LinearGenerator) -> None:
    matrix, offset = affine(generator)
    rest = some_pictures(1).flatten().double() - offset
    solution = torch.linalg.lstsq(matrix, rest[:, None]).solution.mT.float()
    found = invert(generator, some_pictures(1), encode=lambda _: solution, steps=3, learning_rate=1.0, prior_weight=0.0)
    assert torch.equal(found.latents, solution), "large steps away from the minimum are not taken"
    assert found.history.shape == (1, 4)
    assert bool((found.history[0, 1:] > found.history[0, 0]).all())
    assert torch.equal(found.errors, found.start_errors)


def test_a_search_that_comes_no_nearer_ends(generator: LinearGenerator) -> None:
    matrix, offset = affine(generator)
    rest = some_pictures(1).flatten().double() - offset
    solution = torch.linalg.lstsq(matrix, rest[:, None]).solution.mT.float()
    found = invert(generator, some_pictures(1), encode=lambda _: solution, steps=400, prior_weight=0.0)
    assert found.steps.tolist() == [PLATEAU], "at the minimum there is nothing to find"
    assert torch.equal(found.latents, solution)
    assert found.history.shape == (1, 401)
    assert bool(found.history[0, : PLATEAU + 1].isfinite().all() & found.history[0, PLATEAU + 1 :].isnan().all())
    far = invert(generator, some_pictures(1), encode=lambda _: solution + 4.0, steps=60, prior_weight=0.0)
    assert far.steps.tolist() == [60], "one that still falls goes on"
    # That many steps which lower it by a share just below what is relevant, or just above.
    assert _is_level([1.0 - 0.99 * RELEVANT * step / PLATEAU for step in range(PLATEAU + 1)])
    assert not _is_level([1.0 - 1.01 * RELEVANT * step / PLATEAU for step in range(PLATEAU + 1)])
    assert not _is_level([1.0] * PLATEAU), "too early to tell"


def test_the_distance_takes_part(generator: LinearGenerator) -> None:
    def darkness(made: Tensor, image: Tensor) -> Tensor:
        return made.flatten(1).mean(1)

    def mean(found: Inversion) -> float:
        return generator.synthesize(found.latents).mean().item()

    plain = invert(generator, some_pictures(1), steps=50)
    darker = invert(generator, some_pictures(1), steps=50, distance=darkness, perceptual_weight=0.5)
    assert mean(darker) < mean(plain) - 0.01
    assert float(darker.errors[0]) > float(plain.errors[0])


def test_progress_rises_to_one_and_can_end_the_work(generator: LinearGenerator) -> None:
    shares: list[float] = []
    invert(generator, some_pictures(2), steps=4, progress=lambda share, words: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert 0.5 in shares

    def stop(share: float, words: str) -> None:
        if share >= 0.25:
            raise InterruptedError(words)

    with pytest.raises(InterruptedError, match="picture 1 of 2: step 2 of 4, error 0"):
        invert(generator, some_pictures(2), steps=4, progress=stop)


def test_refusals(generator: LinearGenerator) -> None:
    with pytest.raises(ValueError, match=r"expected pictures \(n, 1, 4, 4\), got shape \(1, 1, 8, 8\)"):
        invert(generator, torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="expected steps"):
        invert(generator, some_pictures(1), steps=-1)
