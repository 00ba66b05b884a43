"""Decorrelated batch normalisation equals its definition, gradients included, and stands in for ``nn.BatchNorm2d``."""

import copy
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.linalg import SQRT_METHODS
from disentangle.models import DecorrelatedBatchNorm2d

FORMATS = [torch.contiguous_format, torch.channels_last]
METHODS = SQRT_METHODS


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Features of correlated channels that have a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(shape[1], shape[1], generator=generator, dtype=torch.float64)
    x = torch.einsum("dc,nchw->ndhw", mixing, torch.randn(*shape, generator=generator, dtype=torch.float64))
    return (x + torch.randn(shape[1], 1, 1, generator=generator, dtype=torch.float64)).to(dtype)


def samples(x: Tensor) -> Tensor:
    return x.movedim(1, 3).flatten(0, 2)


def defined(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """The definition, group by group, through ``eigh``, whose own derivative is right for distinct eigenvalues."""
    out = []
    for group in x.chunk(groups, dim=1):
        rows = samples(group)
        centred = rows - rows.mean(0)
        values, vectors = torch.linalg.eigh(centred.mT @ centred / len(rows) + eps * torch.eye(rows.shape[1]).double())
        white = centred @ vectors @ torch.diag(values.rsqrt()) @ vectors.mT
        out.append(white.unflatten(0, (len(x), *x.shape[2:])).movedim(3, 1))
    return torch.cat(out, 1) * weight[:, None, None] + bias[:, None, None]


def drawn(layer: DecorrelatedBatchNorm2d) -> DecorrelatedBatchNorm2d:
    generator = torch.Generator().manual_seed(5)
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    return layer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_it_equals_its_definition(groups: int, memory_format: torch.memory_format, method: str) -> None:
    approximate = method in ("taylor", "pade")
    eps = 30.0 if approximate else 1e-3
    layer = drawn(DecorrelatedBatchNorm2d(6, groups, eps, method=method).double())
    x = features(3, 6, 4, 5).contiguous(memory_format=memory_format).requires_grad_()
    inputs = [x, layer.weight, layer.bias]
    target = features(3, 6, 4, 5, seed=9)
    out, expected = layer(x), defined(x, layer.weight, layer.bias, groups, eps)
    assert out.stride() == x.stride()
    tolerance = {"taylor": 1e-2, "pade": 1e-3, "newton_schulz": 1e-6}.get(method, 1e-11)
    assert (out - expected).abs().max() <= tolerance * expected.abs().max()
    got, wanted = (torch.autograd.grad((y.sin() * target).sum(), inputs) for y in (out, expected))
    for g, w in zip(got, wanted, strict=True):
        assert (g - w).abs().max() <= tolerance * w.abs().max()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_once_and_twice(groups: int, affine: bool) -> None:
    layer = drawn(DecorrelatedBatchNorm2d(4, groups, 1e-2, affine=affine).double())
    x = features(2, 4, 2, 3).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters)), x)

    inputs = (x, *layer.parameters())
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)
    x.requires_grad_(False)
    if affine:
        assert torch.autograd.gradcheck(lambda *parameters: call(x, *parameters), inputs[1:])


def test_gradients_in_evaluation() -> None:
    layer = drawn(DecorrelatedBatchNorm2d(4, 2).double())
    layer(features(2, 4, 3, 3))
    layer.eval()
    assert torch.autograd.gradcheck(layer, features(2, 4, 2, 3).requires_grad_())
    assert torch.autograd.gradgradcheck(layer, features(2, 4, 2, 3).requires_grad_())


@pytest.mark.parametrize("shape", [(8, 6, 5, 5), (64, 16, 28, 28)])  # in one piece, and in several
@pytest.mark.parametrize("groups", [1, 2])
def test_what_comes_out_is_white(shape: tuple[int, ...], groups: int) -> None:
    layer = DecorrelatedBatchNorm2d(shape[1], groups, eps=0)
    x = features(*shape, dtype=torch.float32).to(memory_format=torch.channels_last)
    rows = samples(layer(x)).double()
    assert rows.mean(0).abs().max() < 1e-3
    width = shape[1] // groups
    for group in rows.split(width, 1):
        assert (group.mT @ group / len(rows) - torch.eye(width)).abs().max() < 1e-3
    if groups > 1:
        assert (rows.mT @ rows / len(rows) - torch.eye(shape[1])).abs().max() > 0.05
    # Zero-phase: of all whitenings, the one that stays nearest to what came in, a symmetric map.
    assert torch.allclose(layer.running_whitening, layer.running_whitening.mT, atol=1e-5)


def test_the_covariance_keeps_its_digits() -> None:
    """At a condition number of 1e7, and about a mean of ten times the spread, in float32."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 8, 32, 32, generator=generator, dtype=torch.float64)
    x = (x * torch.logspace(0, -3.5, 8).double()[:, None, None] + 10).float()
    rows = samples(x.double())
    exact = torch.cov(rows.mT, correction=0)
    layer = DecorrelatedBatchNorm2d(8)
    layer(x.to(memory_format=torch.channels_last))
    got, expected = (torch.linalg.eigvalsh(c) for c in (layer.last_covariance[0], exact))
    assert expected[-1] / expected[0] > 8e6
    assert torch.allclose(got, expected, rtol=5e-2)
    assert torch.allclose(layer.running_mean.double(), 0.1 * rows.mean(0), rtol=1e-6)


def test_a_batch_whose_beginning_is_unlike_its_end() -> None:
    """It is read in pieces, about a point that lies near the first of them."""
    x = features(64, 16, 28, 28, dtype=torch.float32)
    x[:10] += 30 * torch.arange(16)[:, None, None]
    layer = DecorrelatedBatchNorm2d(16, momentum=1)
    layer(x)
    rows = samples(x.double())
    expected = torch.cov(rows.mT, correction=0)
    assert (layer.last_covariance[0] - expected).abs().max() < 1e-6 * expected.abs().max()
    assert torch.allclose(layer.running_mean.double(), rows.mean(0), rtol=1e-6)


def test_one_channel_a_group_is_batch_norm() -> None:
    ours, theirs = DecorrelatedBatchNorm2d(6, 6, eps=1e-5).double(), nn.BatchNorm2d(6).double()
    theirs.load_state_dict({k: v for k, v in drawn(ours).state_dict().items() if k in ("weight", "bias")}, strict=False)
    x, y = features(4, 6, 5, 5).requires_grad_(), features(4, 6, 5, 5).requires_grad_()
    target = features(4, 6, 5, 5, seed=3)
    assert torch.allclose(ours(x), theirs(y), rtol=0, atol=1e-12)
    (ours(x) * target).sum().backward()
    (theirs(y) * target).sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=0, atol=1e-11)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad)
    assert torch.allclose(ours.bias.grad, theirs.bias.grad)
    assert torch.allclose(ours.running_mean, theirs.running_mean)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 2


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_by_hand(momentum: float | None) -> None:
    layer = DecorrelatedBatchNorm2d(4, 2, eps=1e-2, momentum=momentum).double()
    mean, whitening = torch.zeros(4).double(), torch.eye(2).double().repeat(2, 1, 1)
    for i in range(3):
        x = features(2, 4, 5, 5, seed=i)
        layer(x)
        rows = samples(x)
        new = []
        for group in rows.split(2, 1):
            values, vectors = torch.linalg.eigh(torch.cov(group.mT, correction=0) + 1e-2 * torch.eye(2).double())
            new.append(vectors @ torch.diag(values.rsqrt()) @ vectors.mT)
        share = 1 / (i + 1) if momentum is None else momentum
        mean = (1 - share) * mean + share * rows.mean(0)
        whitening = (1 - share) * whitening + share * torch.stack(new)
    assert torch.allclose(layer.running_mean, mean, rtol=0, atol=1e-12)
    assert torch.allclose(layer.running_whitening, whitening, rtol=0, atol=1e-11)
    assert layer.num_batches_tracked == 3
    layer.eval()
    x = features(1, 4, 1, 1, seed=7)  # a single sample, which has no covariance of its own
    expected = torch.cat([w @ v for w, v in zip(whitening, (x.flatten() - mean).chunk(2), strict=True)])
    assert torch.allclose(layer(x).flatten(), expected, rtol=0, atol=1e-10)
    assert layer.num_batches_tracked == 3, "evaluation must not count"


def test_without_running_statistics_evaluation_uses_its_batch() -> None:
    layer = DecorrelatedBatchNorm2d(4, track_running_stats=False).double()
    x = features(2, 4, 5, 5)
    trained = layer(x)
    assert layer.running_mean is layer.running_whitening is layer.num_batches_tracked is None
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    covariance = layer.last_covariance
    assert torch.equal(layer.eval()(x), trained)
    assert layer.last_covariance is covariance, "only training records its covariance"


def test_the_last_covariance_is_that_before_the_ridge() -> None:
    layer = DecorrelatedBatchNorm2d(4, 2, eps=0.5).double()
    assert layer.last_covariance is None
    layer(features(2, 4, 5, 5, seed=1))
    x = features(2, 4, 5, 5).requires_grad_()
    layer(x)
    expected = torch.stack([torch.cov(group.mT, correction=0) for group in samples(x).split(2, 1)])
    assert torch.allclose(layer.last_covariance, expected)
    assert not layer.last_covariance.requires_grad
    layer.eval()(features(2, 4, 5, 5, seed=2))
    assert torch.allclose(layer.last_covariance, expected), "evaluation must not record"
    assert not [name for name in layer.state_dict() if "last" in name]
    copied = copy.deepcopy(layer)
    assert torch.equal(copied.last_covariance, layer.last_covariance)
    assert copied.last_covariance is not layer.last_covariance


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("training", [True, False])
def test_half_precision_is_computed_in_float32(
    dtype: torch.dtype, memory_format: torch.memory_format, training: bool
) -> None:
    layer = DecorrelatedBatchNorm2d(6, 2)
    for seed in range(5):
        layer(features(4, 6, 8, 8, seed=seed, dtype=torch.float32))
    exact = copy.deepcopy(layer).double().train(training)
    layer.train(training)
    x = features(4, 6, 8, 8).to(dtype).contiguous(memory_format=memory_format).requires_grad_()
    y = x.detach().double().requires_grad_()
    target = features(4, 6, 8, 8, seed=3)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == dtype
    assert out.stride() == x.stride()
    expected = exact(y)
    # Nothing but the result itself is rounded.
    assert ((out - expected).abs() <= torch.finfo(dtype).eps * expected.abs() + 1e-4).all()
    grads = [torch.autograd.grad((o.double() * target).sum(), i)[0] for o, i in ((out, x), (expected, y))]
    scale = grads[1].abs().max()
    assert (grads[0] - grads[1]).abs().max() <= 4 * torch.finfo(dtype).eps * scale
    assert layer.last_dtype in (dtype, torch.float32)


@pytest.mark.parametrize("change", [nn.Module.half, nn.Module.double, lambda m: m.to(torch.bfloat16)])
def test_a_converted_layer_works(change: Callable[[nn.Module], nn.Module]) -> None:
    layer = change(DecorrelatedBatchNorm2d(4))
    dtype = layer.weight.dtype
    x = features(2, 4, 5, 5).to(dtype)
    for module in (layer.train(), layer.eval()):
        assert module(x).dtype == dtype
    assert layer.running_mean.dtype == layer.running_whitening.dtype == dtype
    assert layer.num_batches_tracked.dtype == torch.int64


def test_it_stands_in_a_sequence_before_what_works_in_place() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), DecorrelatedBatchNorm2d(8), nn.ReLU(inplace=True)).double()
    for memory_format in FORMATS:
        x = features(4, 3, 6, 6).contiguous(memory_format=memory_format)
        net.to(memory_format=memory_format)
        net.zero_grad()
        net(x).square().sum().backward()
        inner = net[0](x)
        expected = torch.relu(defined(inner, net[1].weight, net[1].bias, 1, 1e-2)).square().sum()
        (gradient,) = torch.autograd.grad(expected, net[0].weight)
        assert torch.allclose(net[0].weight.grad, gradient, rtol=1e-9, atol=1e-9 * gradient.abs().max())


def test_a_compiled_network_computes_the_same() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), DecorrelatedBatchNorm2d(4), nn.ReLU(inplace=True)).double()
    other = copy.deepcopy(net)
    compiled = torch.compile(net, backend="aot_eager")
    for seed in range(2):
        x = features(2, 3, 6, 6, seed=seed)
        for module in (compiled, other):
            module.zero_grad()
            module(x).square().sum().backward()
        assert torch.allclose(net[0].weight.grad, other[0].weight.grad, rtol=0, atol=1e-12)
    for name, tensor in other.state_dict().items():
        assert torch.allclose(net.state_dict()[name], tensor, rtol=0, atol=1e-12), name
    assert torch.allclose(net[1].last_covariance, other[1].last_covariance, rtol=0, atol=1e-12)
    assert torch.allclose(compiled.eval()(x), other.eval()(x), rtol=0, atol=1e-12)


def test_statistics_are_kept_without_gradients() -> None:
    layers = [DecorrelatedBatchNorm2d(4) for _ in range(3)]
    x = features(2, 4, 5, 5, dtype=torch.float32)
    expected = layers[0](x.requires_grad_())
    with torch.no_grad():
        assert torch.equal(layers[1](x), expected)
    with torch.inference_mode():
        assert torch.equal(layers[2](x), expected)
    for layer in layers[1:]:
        assert torch.equal(layer.running_whitening, layers[0].running_whitening)
        assert layer.num_batches_tracked == 1


def test_state_goes_round() -> None:
    layer = drawn(DecorrelatedBatchNorm2d(4, 2))
    for seed in range(3):
        layer(features(2, 4, 5, 5, seed=seed, dtype=torch.float32))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = nn.Sequential(DecorrelatedBatchNorm2d(4, 2))
    other.load_state_dict({f"0.{name}": tensor for name, tensor in torch.load(file, weights_only=True).items()})
    x = features(2, 4, 5, 5, seed=8, dtype=torch.float32)
    assert torch.equal(layer.eval()(x), other.eval()(x))
    assert {"weight", "bias", "running_mean", "running_whitening", "num_batches_tracked"} == set(layer.state_dict())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_plain_batch_norm_loads(groups: int) -> None:
    theirs = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, eps=1e-3)).double()
    for seed in range(3):
        theirs(features(2, 4, 5, 5, seed=seed))
    ours = nn.Sequential(nn.Conv2d(4, 4, 1), DecorrelatedBatchNorm2d(4, groups, eps=1e-3)).double()
    state = theirs.state_dict()
    ours.load_state_dict(state)
    assert "1.running_var" in state, "the state that was given must stay as it is"
    x = features(2, 4, 5, 5, seed=8)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), rtol=0, atol=1e-12)
    assert ours[1].num_batches_tracked == 3


def test_another_width_does_not_load() -> None:
    with pytest.raises(RuntimeError, match="size mismatch for running_mean"):
        DecorrelatedBatchNorm2d(4).load_state_dict(nn.BatchNorm2d(6).state_dict())


def test_it_forgets() -> None:
    layer = drawn(DecorrelatedBatchNorm2d(4, 2))
    layer(features(2, 4, 5, 5, dtype=torch.float32))
    layer.reset_parameters()
    fresh = DecorrelatedBatchNorm2d(4, 2).state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in layer.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": 4}, "groups must divide the 6 channels, got 4: possible: 1, 2, 3, 6"),
        ({"groups": 0}, "got 0: possible"),
        ({"eps": -1.0}, "eps, the ridge, must be finite and at least 0, got -1"),
        ({"eps": float("nan")}, "got nan"),
        ({"momentum": 1.5}, "momentum must lie in"),
        ({"method": "eig"}, r"unknown method 'eig': did you mean eigh\? possible: auto, eigh, "),
    ],
)
def test_impossible_layers_are_refused(arguments: dict[str, float | str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        DecorrelatedBatchNorm2d(6, **arguments)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (features(1, 6, 2, 3), r"groups of 6 channels with 6 samples .* at least 7 samples, more groups or eps > 0"),
        (features(1, 6, 1, 1), "1 sample"),
        (torch.zeros(0, 6, 4, 4), "0 sample"),
        (torch.zeros(2, 6, 4, 4), "singular"),
        (features(2, 6, 4, 4).index_fill(1, torch.tensor([2]), torch.nan), "NaN or infinite values"),
        (features(2, 6, 4, 4).index_fill(1, torch.tensor([2]), torch.inf), "NaN or infinite values"),
    ],
)
def test_a_batch_without_a_whitening_is_refused(x: Tensor, words: str) -> None:
    layer = DecorrelatedBatchNorm2d(6, eps=0).double()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with pytest.raises(UserError, match=words) as error:
        layer(x)
    assert "\n" not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items()), "statistics spoilt"


def test_more_spread_eigenvalues_than_the_method_can_do_are_refused() -> None:
    with pytest.raises(UserError, match="cannot whiten a batch by its covariance a: "):
        DecorrelatedBatchNorm2d(6, eps=1e-6, method="taylor").double()(features(2, 6, 5, 5))


@pytest.mark.parametrize("x", [torch.zeros(2, 6, 4), torch.zeros(2, 4, 4, 4), torch.zeros(2, 6, 4, 4).int()])
def test_other_shapes_are_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected features \(n, 6, h, w\)"):
        DecorrelatedBatchNorm2d(6)(x)


def test_a_ridge_makes_a_small_batch_possible() -> None:
    layer = DecorrelatedBatchNorm2d(6, eps=1e-2).double()
    x = features(1, 6, 1, 3).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)


def test_nan_passes_through_in_evaluation() -> None:
    layer = DecorrelatedBatchNorm2d(3).eval()
    x = torch.zeros(2, 3, 2, 2)
    x[1] = torch.nan
    out = layer(x)
    assert torch.isfinite(out[0]).all()
    assert torch.isnan(out[1]).all()


SHARES = [((0, 3), (3, 6)), ((0, 1), (1, 6)), ((0, 6), (6, 6))]  # halves; uneven; nothing left for the second
DISTRIBUTED = """
import sys, torch
from torch import distributed
from disentangle.models import DecorrelatedBatchNorm2d
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
given = torch.load(f"{folder}/given", weights_only=True)
results = []
for shares in given["shares"]:
    layer = DecorrelatedBatchNorm2d(6, 2).double()
    layer.load_state_dict(given["state"])
    share = slice(*shares[rank])
    x = given["x"][share].to(memory_format=torch.channels_last).requires_grad_()
    out = layer(x)
    (out.sin() * given["target"][share]).sum().backward()
    results.append({"out": out.detach(), "x": x.grad, **{k: v.clone() for k, v in layer.state_dict().items()},
                    "weight": layer.weight.grad, "bias": layer.bias.grad, "covariance": layer.last_covariance})
layer.eval()(x if rank else x[:0])  # what one does alone
layer.train()
try:
    torch.autograd.grad(layer(x).sum(), x, create_graph=True)
except RuntimeError as error:
    results.append("one process only" in str(error))
poisoned = x.detach() + (float("nan") if rank == 0 else 0)
try:
    layer(poisoned)
except ValueError as error:  # on both, though one of them has no NaN
    results.append("NaN" in str(error))
torch.save(results, f"{folder}/{rank}")
distributed.destroy_process_group()
"""


def test_two_processes_equal_one(tmp_path: Path, root: Path) -> None:
    layer = drawn(DecorrelatedBatchNorm2d(6, 2).double())
    x, target = features(6, 6, 3, 3).requires_grad_(), features(6, 6, 3, 3, seed=3)
    given = {"state": layer.state_dict(), "x": x.detach(), "target": target, "shares": SHARES}
    torch.save(given, tmp_path / "given")
    environment = os.environ | {"PYTHONPATH": str(root)}
    commands = [[sys.executable, "-c", DISTRIBUTED, str(tmp_path), str(rank)] for rank in (0, 1)]
    processes = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    try:
        for process in processes:
            _, words = process.communicate(timeout=100)
            assert process.returncode == 0, words
    finally:
        for process in processes:
            process.kill()
    out = layer(x)
    (out.sin() * target).sum().backward()

    def equal(a: Tensor, b: Tensor) -> bool:
        return torch.allclose(a, b, rtol=0, atol=1e-10)

    found = [torch.load(tmp_path / str(rank), weights_only=True) for rank in (0, 1)]
    for first, second in list(zip(*found, strict=True))[: len(SHARES)]:
        assert equal(torch.cat([first["out"], second["out"]]), out)
        assert equal(torch.cat([first["x"], second["x"]]), x.grad)
        # Of the parameters each process has the gradient of its own share, as a distributed wrapper expects.
        assert equal(first["weight"] + second["weight"], layer.weight.grad)
        assert equal(first["bias"] + second["bias"], layer.bias.grad)
        for one in (first, second):
            assert equal(one["covariance"], layer.last_covariance)
            assert equal(one["running_mean"], layer.running_mean)
            assert equal(one["running_whitening"], layer.running_whitening)
            assert one["num_batches_tracked"] == 1
    assert [one[len(SHARES) :] for one in found] == [[True, True]] * 2
