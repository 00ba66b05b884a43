"""Maps that are orthogonal by construction, against explicit matrices in float64."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from treated import gaussian, singular_values

from disentangle.errors import UserError
from disentangle.models import SkewOrthogonalConv2d
from disentangle.orthogonal import PolarParametrization, SpectralNorm, skew_part

SHAPES = [  # in, out, kernel, stride, picture
    (2, 2, 3, 1, (3, 4)),
    (2, 3, 5, 1, (4, 3)),
    (3, 2, 3, 1, (4, 4)),
    (1, 1, 3, 1, (5, 7)),
    (2, 2, 5, 1, (2, 2)),
    (1, 4, 3, 2, (4, 6)),
    (1, 6, 3, 2, (4, 4)),
    (2, 3, 3, 2, (4, 4)),
    (3, 3, 1, 1, (2, 3)),
]


def layer_of(*shape: int, seed: int = 0, **options) -> SkewOrthogonalConv2d:
    return SkewOrthogonalConv2d(*shape, generator=torch.Generator().manual_seed(seed), **options).double()


def converged(layer: SkewOrthogonalConv2d) -> SkewOrthogonalConv2d:
    """The layer with its power iteration at its end."""
    square, _, flat, _ = four_reshapings(skew_part(layer.weight.detach()))
    layer.power_square.copy_(torch.linalg.svd(square).Vh[0])
    layer.power_flat.copy_(torch.linalg.svd(flat).U[:, 0])
    return layer


def scaled_filter(layer: SkewOrthogonalConv2d) -> Tensor:
    """The filter by its definition, entry by entry."""
    raw = layer.weight.detach()
    c, _, k, _ = raw.shape
    skew = torch.zeros_like(raw)
    for o, i, u, v in torch.cartesian_prod(*map(torch.arange, (c, c, k, k))).tolist():
        skew[o, i, u, v] = (raw[o, i, u, v] - raw[i, o, k - 1 - u, k - 1 - v]) / 2
    norms = [float(torch.linalg.matrix_norm(m, 2)) for m in four_reshapings(skew)]
    return layer.norm * skew / (k * min(norms))


def four_reshapings(filters: Tensor) -> list[Tensor]:
    o, i, h, w = filters.shape
    return [
        filters.permute(0, 2, 1, 3).reshape(o * h, i * w),
        filters.permute(0, 3, 1, 2).reshape(o * w, i * h),
        filters.reshape(o, i * h * w),
        filters.permute(0, 2, 3, 1).reshape(o * h * w, i),
    ]


def operator_matrix(filters: Tensor, height: int, width: int) -> Tensor:
    """The matrix of a zero-padded convolution, ``(c·h·w, c·h·w)``: entry by entry, from each pixel to each."""
    c, _, k, _ = filters.shape
    matrix = filters.new_zeros(c, height, width, c, height, width)
    for y, x, v, u in torch.cartesian_prod(*map(torch.arange, (height, width, height, width))).tolist():
        dy, dx = v - y + k // 2, u - x + k // 2
        if 0 <= dy < k and 0 <= dx < k:
            matrix[:, y, x, :, v, u] = filters[:, :, dy, dx]
    return matrix.reshape(c * height * width, -1)


def jacobian(layer: nn.Module, channels: int, size: tuple[int, int]) -> Tensor:
    """The matrix of a layer without bias, ``(outputs, inputs)``, column by column."""
    units = torch.eye(channels * math.prod(size), dtype=torch.float64).reshape(-1, channels, *size)
    return layer(units).detach().flatten(1).T


# --- skew-orthogonal convolution


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "size"), SHAPES)
def test_it_is_the_matrix_exponential(
    inputs: int, outputs: int, kernel: int, stride: int, size: tuple[int, int]
) -> None:
    layer = converged(layer_of(inputs, outputs, kernel, stride, bias=False, eval_terms=30, norm=2.0)).eval()
    small = (size[0] // stride, size[1] // stride)
    channels = max(inputs * stride**2, outputs)
    generator = operator_matrix(scaled_filter(layer), *small)
    assert torch.equal(generator, -generator.T)
    assert generator.norm() > 0
    pixels = math.prod(small)
    exponential = torch.linalg.matrix_exp(generator)[: outputs * pixels, : inputs * stride**2 * pixels]
    units = torch.eye(inputs * math.prod(size), dtype=torch.float64).reshape(-1, inputs, *size)
    rearranged = F.pixel_unshuffle(units, stride).flatten(1).T  # what stride 2 does first, a permutation
    expected = exponential @ rearranged
    torch.testing.assert_close(jacobian(layer, inputs, size), expected, rtol=0, atol=1e-12)
    assert layer.weight.shape == (channels, channels, kernel, kernel)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "size"), [*SHAPES, (1, 5, 3, 2, (5, 7))])
def test_it_keeps_lengths_and_with_fewer_outputs_lengthens_none(
    inputs: int, outputs: int, kernel: int, stride: int, size: tuple[int, int]
) -> None:
    layer = layer_of(inputs, outputs, kernel, stride, bias=False, eval_terms=30).eval()
    images = gaussian(3, inputs, *size)
    features = layer(images)
    sigma = torch.linalg.svdvals(jacobian(layer, inputs, size))
    if outputs >= inputs * stride**2:
        torch.testing.assert_close(features.flatten(1).norm(dim=1), images.flatten(1).norm(dim=1), rtol=1e-13, atol=0)
    else:
        assert (features.flatten(1).norm(dim=1) < images.flatten(1).norm(dim=1)).all()
    torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=1e-13)  # rows or columns orthonormal


@pytest.mark.parametrize("norm", [0.7, 1.4])
@pytest.mark.parametrize(("training", "terms"), [(True, 5), (False, 10)])
def test_the_series_is_off_by_the_first_term_that_it_leaves_out(norm: float, training: bool, terms: int) -> None:
    layer = converged(layer_of(2, 2, norm=norm, bias=False)).train(training)
    generator = operator_matrix(scaled_filter(layer), 5, 4)
    theta = float(torch.linalg.matrix_norm(generator, 2))
    assert 0.2 * norm < theta <= norm
    error = float(torch.linalg.matrix_norm(jacobian(layer, 2, (5, 4)) - torch.linalg.matrix_exp(generator), 2))
    bound = theta ** (terms + 1) / math.factorial(terms + 1)
    assert 0.9 * bound - 1e-15 < error < bound + 1e-15
    assert error <= norm ** (terms + 1) / math.factorial(terms + 1)


def test_the_published_norm_bounds_the_error_as_the_docstring_says() -> None:
    assert math.isclose(0.7**6 / math.factorial(6), 1.7e-4, rel_tol=0.05)
    assert math.isclose(0.7**11 / math.factorial(11), 5e-10, rel_tol=0.05)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("kind", ["gaussian", "smooth", "one channel pair"])
def test_the_bounds_are_the_least_of_four_and_bound_the_operator(kernel: int, kind: str) -> None:
    layer = layer_of(3, 3, kernel)
    if kind == "smooth":  # a difference of large blurs, which no small reshaping flatters
        ramp = torch.arange(kernel, dtype=torch.float64) - kernel // 2
        layer.weight.data = 1e-3 * layer.weight.data + ramp[:, None].expand(3, 3, kernel, kernel)
    elif kind == "one channel pair":
        layer.weight.data.zero_()
        layer.weight.data[0, 1] = 1
    small = gaussian(1, 3, 1, 1)
    with torch.no_grad():
        for _ in range(1000):
            layer(small)
    skew = skew_part(layer.weight.detach())
    norms = [float(torch.linalg.matrix_norm(m, 2)) for m in four_reshapings(skew)]
    assert layer.bounds().detach().amin() == pytest.approx(kernel * min(norms), rel=1e-9)
    frequencies = torch.fft.fft2(skew, s=(64, 64)).permute(2, 3, 0, 1)
    true = float(torch.linalg.svdvals(frequencies).amax())
    assert true <= kernel * min(norms) * (1 + 1e-12)
    assert float(torch.linalg.matrix_norm(operator_matrix(skew, 6, 5), 2)) <= true * (1 + 1e-2)
    if kind == "one channel pair":  # a constant blur: the bound is its norm
        assert true == pytest.approx(kernel * min(norms), rel=1e-9)


def test_the_bounds_are_close_from_the_start_and_never_too_large() -> None:
    for seed in range(5):
        layer = layer_of(8, 8, seed=seed)
        skew = skew_part(layer.weight.detach())
        exact = torch.tensor([float(torch.linalg.matrix_norm(four_reshapings(skew)[j], 2)) for j in (0, 2)])
        ratio = layer.bounds().detach() / (3 * exact)
        assert (ratio > 0.95).all()
        assert (ratio < 1 + 1e-6).all()


def test_the_first_filter_is_skew_symmetric_of_the_published_size_and_the_generators() -> None:
    layer = layer_of(16, 8)
    weight = layer.weight.detach()
    assert torch.equal(weight, skew_part(weight))
    assert float(weight.std()) == pytest.approx(1 / math.sqrt(16), rel=0.05)
    assert float(layer.bias.detach().abs().max()) < 1 / math.sqrt(8)
    assert torch.equal(weight, layer_of(16, 8).weight)
    assert not torch.equal(weight, layer_of(16, 8, seed=1).weight)


def test_its_gradient_is_right_skew_symmetric_and_at_right_angles_to_the_filter() -> None:
    layer = layer_of(2, 3, train_terms=3).eval()
    layer.eval_terms = 3
    images = gaussian(2, 2, 3, 4)

    def features(weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (images,))

    # The vectors of the power iteration at their limit: elsewhere they count as constants all the same.
    assert torch.autograd.gradcheck(features, (layer.weight, layer.bias))
    (layer(images) * gaussian(2, 3, 3, 4, seed=1)).sum().backward()
    gradient = layer.weight.grad
    assert gradient.norm() > 1e-3
    torch.testing.assert_close(gradient, skew_part(gradient), rtol=0, atol=1e-15)
    assert abs(float((gradient * layer.weight.detach()).sum())) < 1e-12
    assert layer.bias.grad.abs().min() > 0


def test_only_the_skew_symmetric_part_and_not_its_length_counts() -> None:
    layer = layer_of(2, 2).eval()
    images = gaussian(1, 2, 4, 4)
    before = layer(images)
    raw = layer.weight.data
    symmetric = gaussian(*raw.shape)
    layer.weight.data = 7 * raw + symmetric - skew_part(symmetric)
    torch.testing.assert_close(layer(images), before, rtol=1e-12, atol=1e-12)


def test_a_convolution_of_one_channel_and_one_pixel_is_the_identity() -> None:
    layer = layer_of(1, 1, 1, bias=False)
    images = gaussian(2, 1, 3, 3)
    assert torch.equal(layer(images), images)
    layer(images).sum().backward()
    assert torch.equal(layer.weight.grad, torch.zeros_like(layer.weight))


def test_the_exponential_is_the_filter_and_has_orthonormal_rows() -> None:
    layer = layer_of(2, 3, bias=False).eval()
    filters = layer.exponential()
    assert filters.shape == (3, 3, 21, 21)
    rows = filters.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-9)
    images = F.pad(gaussian(1, 2, 3, 3), (10,) * 4)  # so that nothing reaches the border
    torch.testing.assert_close(layer(images), F.conv2d(images, filters[:, :2], padding=10), rtol=0, atol=1e-14)
    assert layer.train().exponential().shape == (3, 3, 11, 11)


def test_training_moves_the_power_iteration_and_evaluation_does_not() -> None:
    layer = layer_of(4, 4)
    layer.weight.data.add_(gaussian(*layer.weight.shape, seed=4))
    images = gaussian(1, 4, 5, 5)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"weight", "bias", "power_square", "power_flat"}
    layer.eval()
    layer(images)
    layer.train().exponential()
    layer.bounds()
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())
    layer(images)
    moved = [name for name, value in layer.state_dict().items() if not torch.equal(value, state[name])]
    assert moved == ["power_square", "power_flat"]
    first = layer.bounds().detach()
    layer(images)
    assert (layer.bounds().detach() >= first).all()


def test_two_passes_can_wait_for_one_backward_pass() -> None:
    layer = layer_of(2, 2)
    (layer(gaussian(1, 2, 4, 4)) - layer(gaussian(1, 2, 4, 4, seed=1))).square().sum().backward()
    assert layer.weight.grad.norm() > 0


def test_it_goes_on_the_same_from_its_state() -> None:
    layers, outputs = [layer_of(2, 3, seed=0), layer_of(2, 3, seed=1)], []
    images = gaussian(1, 2, 5, 7)
    assert not torch.allclose(layers[0](images), layers[1](images))
    layers[1].load_state_dict(layers[0].state_dict())
    layers.append(copy.deepcopy(layers[0]))
    for layer in layers:
        layer.weight.data.mul_(1.5).add_(0.1 * gaussian(*layer.weight.shape))
        layer(images)
        outputs.append(layer(images))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert outputs[0].shape == (1, 3, 5, 7)


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1), (4, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_sizes_are_those_of_a_convolution(size: tuple[int, int], stride: int) -> None:
    conv = nn.Conv2d(2, 3, 3, stride, padding=1)
    layer = SkewOrthogonalConv2d(2, 3, 3, stride)
    images = torch.ones(2, 2, *size)
    assert layer(images).shape == conv(images).shape
    assert layer.bias.shape == conv.bias.shape


def test_odd_pictures_are_padded_at_the_end_with_zeros() -> None:
    layer = layer_of(1, 4, 3, 2)
    images = gaussian(1, 1, 5, 7)
    torch.testing.assert_close(layer.eval()(images), layer(F.pad(images, (0, 1, 0, 1))), rtol=0, atol=0)


def test_the_bias_is_added_once() -> None:
    layer = layer_of(1, 3).eval()
    bias = layer.bias.detach()
    assert torch.equal(layer(torch.zeros(1, 1, 2, 2, dtype=torch.float64)), bias[:, None, None].expand(1, 3, 2, 2))


@pytest.mark.parametrize("stride", [1, 2])
def test_autocast_computes_in_bfloat16_close_to_float32(stride: int) -> None:
    layer = layer_of(3, 16, 3, stride).float()
    images = gaussian(4, 3, 8, 8).float()
    exact = layer.eval()(images)
    assert exact.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = layer(images)
        features.float().square().sum().backward()
        inside = layer.exponential()
    assert features.dtype == torch.bfloat16
    assert float((features - exact).detach().norm() / exact.detach().norm()) < 1e-2
    assert torch.equal(inside, layer.exponential())
    assert layer.weight.grad.dtype == torch.float32
    assert layer.weight.grad.norm() > 0
    layer.bfloat16()
    assert layer(images.bfloat16()).dtype == torch.bfloat16
    layer.train()(images.bfloat16())


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_last_stays_and_changes_nothing(stride: int) -> None:
    layer = layer_of(3, 16, 3, stride).float().eval()
    images = gaussian(2, 3, 8, 8).float()
    expected = layer(images)
    layer.to(memory_format=torch.channels_last)
    features = layer(images.contiguous(memory_format=torch.channels_last))
    assert features.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kernel_size": 4}, "must be odd, got 4"),
        ({"stride": 3}, "must be 1 or 2, got 3"),
        ({"in_channels": 0}, "at least 1, got 0, 2"),
        ({"eval_terms": 0}, "at least 1, got 2, 2, 5 and 0"),
        ({"norm": math.inf}, "norm must be finite"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        SkewOrthogonalConv2d(**({"in_channels": 2, "out_channels": 2} | arguments))


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 3, 4, 4)])
def test_wrong_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must be \(n, 2, h, w\), got"):
        SkewOrthogonalConv2d(2, 2)(torch.ones(shape))


# --- parametrisations


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (2, 3, 2, 2), (6, 1, 1, 1)])
def test_a_polar_weight_is_the_polar_factor_with_the_right_gradient(shape: tuple[int, ...]) -> None:
    free = gaussian(*shape).requires_grad_()
    weight = PolarParametrization()(free)
    left, _, right = torch.linalg.svd(free.detach().flatten(1), full_matrices=False)
    torch.testing.assert_close(weight.detach().flatten(1), left @ right, rtol=0, atol=1e-13)
    assert weight.shape == shape
    assert torch.autograd.gradcheck(PolarParametrization(), (free,))
    (gradient,) = torch.autograd.grad((weight * gaussian(*shape, seed=1)).sum(), free)
    assert abs(float((gradient * free.detach()).sum())) < 1e-12


def test_a_polar_weight_can_be_set_and_starts_from_the_nearest() -> None:
    layer = nn.Linear(5, 3).double()
    left, _, right = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    parametrize.register_parametrization(layer, "weight", PolarParametrization())
    torch.testing.assert_close(layer.weight.detach(), left @ right, rtol=0, atol=1e-13)
    torch.testing.assert_close(layer.parametrizations.weight.original.detach(), left @ right, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="rank 2, not 3"):
        PolarParametrization().right_inverse(torch.diag(torch.tensor([1.0, 2.0, 0.0])))
    with pytest.raises(ValueError, match="at least two dimensions"):
        PolarParametrization()(torch.ones(3))


def test_a_polar_weight_is_exact_under_autocast() -> None:
    free = gaussian(4, 6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weight = PolarParametrization()(free)
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight @ weight.T, torch.eye(4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (2, 3, 2, 2)])
def test_a_spectral_weight_is_exact_at_first_and_has_the_right_gradient(shape: tuple[int, ...]) -> None:
    weight = gaussian(*shape).requires_grad_()
    spectral = SpectralNorm(weight.detach()).eval()
    assert singular_values(spectral(weight))[0] == pytest.approx(1, rel=1e-14)
    torch.testing.assert_close(spectral(weight).detach() * singular_values(weight)[0], weight.detach())

    def exactly(w: Tensor) -> Tensor:
        return w / torch.linalg.matrix_norm(w.flatten(1), 2)

    ours = torch.autograd.grad((spectral(weight) * gaussian(*shape, seed=1)).sum(), weight)[0]
    true = torch.autograd.grad((exactly(weight) * gaussian(*shape, seed=1)).sum(), weight)[0]
    torch.testing.assert_close(ours, true, rtol=1e-10, atol=1e-12)


def test_a_spectral_weight_follows_torchs_power_iteration() -> None:
    reference = parametrizations.spectral_norm(nn.ConvTranspose2d(3, 4, 3), dim=0).double()
    raw, theirs = reference.parametrizations.weight.original, reference.parametrizations.weight[0]
    spectral = SpectralNorm(raw.detach())
    raw.data.copy_(gaussian(*raw.shape))
    theirs._u.copy_(F.normalize(gaussian(3, seed=1), dim=0))
    theirs._v.copy_(F.normalize(raw.detach().flatten(1).T @ theirs._u, dim=0))
    spectral.vector.copy_(theirs._u)
    for _ in range(4):
        torch.testing.assert_close(spectral(raw), reference.weight, rtol=1e-12, atol=1e-12)
    spectral.eval()
    vector = spectral.vector.clone()
    torch.testing.assert_close(spectral(raw), reference.eval().weight, rtol=1e-12, atol=1e-12)
    assert torch.equal(spectral.vector, vector)


def test_a_spectral_weight_is_exact_under_autocast_and_in_bfloat16() -> None:
    weight = gaussian(4, 6).float()
    spectral = SpectralNorm(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = spectral(weight)
    assert inside.dtype == torch.float32
    assert singular_values(inside)[0] == pytest.approx(1, rel=1e-6)
    assert spectral.bfloat16()(weight.bfloat16()).dtype == torch.bfloat16
