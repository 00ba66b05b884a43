"""torch.compile in one graph, with all checks. What is tested is tracing, which needs no compiler of machine code."""

import shutil

import pytest
import torch
from matrices import assert_close, gaussian, with_spectrum

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt, polar
from disentangle.linalg.newton_schulz import STEPS
from disentangle.linalg.polar_iterations import CUBIC_STEPS

BAD = {
    "symmetric": torch.tensor([[1.0, 0.5], [0.0, 1.0]]),
    "NaN or infinite": torch.full((2, 2), torch.nan),
    "negative|semi-definite": torch.tensor([[1.0, 0.0], [0.0, -1.0]]),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setitem(STEPS, torch.float32, 8)  # enough for these matrices: every step is traced
    monkeypatch.setitem(CUBIC_STEPS, torch.float64, 12)


@pytest.mark.parametrize("backward", ["exact", "published"])
@pytest.mark.parametrize("method", ["auto", "newton_schulz", "taylor", "pade"])
def test_roots(method: str, backward: str) -> None:
    root = matrix_sqrt if backward == "exact" else matrix_inverse_sqrt  # one each, for tracing takes long

    def doubled(a):
        return 2 * root(a, method, backward=backward)

    compiled = torch.compile(doubled, fullgraph=True, backend="aot_eager")
    a = torch.stack([with_spectrum([1.0, 0.8]), with_spectrum([2.0, 2.2], seed=1)]).float()
    x, y = a.clone().requires_grad_(), a.clone().requires_grad_()
    result, expected = compiled(x), doubled(y)
    assert_close(result, expected, 1e-6)
    direction = gaussian(2, 2, 2, dtype=torch.float32)
    assert_close(*(torch.autograd.grad(r, z, direction)[0] for r, z in ((result, x), (expected, y))), 1e-5)
    for words, bad in BAD.items():
        with pytest.raises(ValueError, match=words):
            compiled(bad.expand(2, 2, 2).clone().requires_grad_())


@pytest.mark.parametrize("method", ["svd", "gram", "newton_schulz", "polar_express"])
def test_polar(method: str) -> None:
    compiled = torch.compile(lambda g: 2 * polar(g, method), fullgraph=True, backend="aot_eager")
    x, y = (gaussian(3, 7).requires_grad_() for _ in range(2))
    result, expected = compiled(x), 2 * polar(y, method)
    assert_close(result, expected)
    direction = gaussian(3, 7, seed=1)
    assert_close(*(torch.autograd.grad(r, z, direction)[0] for r, z in ((result, x), (expected, y))))
    with pytest.raises(ValueError, match="g has NaN or infinite entries"):
        compiled(torch.full((3, 7), torch.nan, dtype=torch.float64, requires_grad=True))


def test_compiled_to_machine_code(require) -> None:
    require(shutil.which("g++") or shutil.which("clang++"), "needs a C++ compiler")
    compiled = torch.compile(lambda a: 2 * matrix_inverse_sqrt(a.mT), fullgraph=True)
    x = with_spectrum([1.0, 1.0, 0.3])
    assert_close(compiled(x), 2 * matrix_inverse_sqrt(x))
    with pytest.raises(ValueError, match="singular"):
        compiled(torch.zeros_like(x))
