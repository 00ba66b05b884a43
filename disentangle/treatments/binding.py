"""Putting treatments on a model's weights, and taking them off again."""

import copy
import hashlib
import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from disentangle.errors import DisentangleWarning, UserError, unknown_name
from disentangle.orthogonal import PolarParametrization, SkewOrthogonalConv2d, SpectralNorm
from disentangle.treatments.config import TreatmentConfig
from disentangle.treatments.treatment import Treatment
from disentangle.treatments.weight import Weight, unwrap

WRAPPERS = (PolarParametrization, SpectralNorm)


def bind(config: TreatmentConfig, model: nn.Module, names: Iterable[str]) -> Treatment:
    """Bind treatments to weights of ``model``, changing it in place for ``sn`` and ``ow``.

    ``sn`` and ``ow`` parametrise the weight (``torch.nn.utils.parametrize``): its raw tensor moves from ``NAME`` to
    ``MODULE.parametrizations.ATTRIBUTE.original``. Under ``ow`` an ``nn.Conv2d`` with a kernel of more than one pixel,
    whose matrix is not what its filter's is, is replaced by a :class:`SkewOrthogonalConv2d` with a filter of its own;
    one that is there already is left as it is. So bind before copies of the model, its optimisers and distributed
    wrappers are made.

    Args:
        config: which treatments, and of which weights, if not of ``names``.
        model: its named weights are treated.
        names: dotted names of parameters, ``projection.parameter`` of each of the model's projections.

    Returns:
        The treatment, over the raw weights.

    Raises:
        UserError: before anything is changed. The configuration is out of range; there is no weight to treat; a name is
            unknown or given twice; a weight is a vector, frozen, shared or parametrised already; one cannot be wrapped.
    """
    config.check()
    found = _find(model, config.parameters or names, treated=bool(config.names))
    if not config.names:
        return Treatment(config, {})
    if not found:
        raise UserError(
            f"treatment {'+'.join(config.names)} is bound to no parameter: name a Pre-SVD weight, or use none"
        )
    for weight in found:
        if "sn" in config.names:
            _check_spectral(weight)
        if "ow" in config.names:
            _check_orthogonal(weight, model)
    weights = [_wrap(config, model, weight) for weight in found]
    at_right_angles = [weight.name for weight in weights if weight.scale_free]
    if at_right_angles and "olr" in config.names and "nog" not in config.names:
        warnings.warn(
            f"olr has no say over {', '.join(at_right_angles)}: the gradient of a normalised weight is at right angles "
            "to it, and momentum only lengthens it, so the base rate is used; add nog",
            DisentangleWarning,
            stacklevel=2,
        )
    return Treatment(config, {weight.name: weight for weight in weights})


def fold(model: nn.Module) -> nn.Module:
    """The model without the parametrisations that treatments put on it, its weights as they are in evaluation.

    A copy of plain classes and plain weights under their old names, which loads where no treatment is known. A
    :class:`SkewOrthogonalConv2d` is a layer of its own and stays: the exponential of a zero-padded convolution is no
    convolution at the border.

    Returns:
        A deep copy; the model itself where it has no such parametrisation.
    """
    if not any(_wrapped(module) for module in model.modules()):
        return model
    folded = copy.deepcopy(model)
    for module in list(folded.modules()):
        for attribute in _wrapped(module):
            unwrap(module, attribute)
    return folded


def _wrapped(module: nn.Module) -> list[str]:
    """The attributes of a module that a treatment parametrised."""
    if not parametrize.is_parametrized(module):
        return []
    lists: nn.ModuleDict = module.parametrizations  # type: ignore[assignment]
    return [name for name, steps in lists.items() if isinstance(steps[0], WRAPPERS)]  # type: ignore[index]


def _find(model: nn.Module, names: Iterable[str], treated: bool) -> list[Weight]:
    """The weights of the given names, which can be treated."""
    known = dict(model.named_parameters(remove_duplicate=False))
    found: dict[str, Weight] = {}
    for name in names:
        path, _, attribute = name.rpartition(".")
        if name not in known:
            owner = dict(model.named_modules(remove_duplicate=False)).get(path)
            if owner is not None and parametrize.is_parametrized(owner, attribute):
                raise UserError(f"parameter {name!r} is parametrised already: bind a model's treatments once")
            raise unknown_name("parameter", name, [n for n, parameter in known.items() if parameter.ndim >= 2])
        if name in found:
            raise UserError(f"parameter {name!r} is to be treated twice: name it once")
        raw = known[name]
        if treated:
            _check_trained(name, raw, [n for n, parameter in known.items() if parameter is raw])
        found[name] = Weight(name, model.get_submodule(path), attribute, raw)
    return list(found.values())


def _check_trained(name: str, raw: nn.Parameter, names: list[str]) -> None:
    if raw.ndim < 2 or not raw.requires_grad:
        why = "is frozen (requires_grad=False)" if raw.ndim >= 2 else f"has shape {tuple(raw.shape)}"
        raise UserError(f"parameter {name!r} {why}: a treatment needs a matrix that is trained")
    if len(names) > 1:
        raise UserError(f"parameter {name!r} is shared by {', '.join(names)}: a treatment needs a weight of one layer")


def _check_spectral(weight: Weight) -> None:
    if isinstance(weight.module, SkewOrthogonalConv2d):
        raise UserError(
            f"sn would change nothing: the convolution of {weight.name!r} is skew-orthogonal, whatever the norm"
        )
    size = float(weight.raw.detach().abs().max())
    if not 0 < size < torch.inf:
        raise UserError(f"sn needs a finite weight that is not zero, but {weight.name!r} has entries up to {size}")


def _check_orthogonal(weight: Weight, model: nn.Module) -> None:
    module, name = weight.module, weight.name
    if _is_skew_orthogonal(weight):
        return
    if _is_spatial(weight):
        if not isinstance(module, nn.Conv2d):
            raise UserError(f"ow has no orthogonal {type(module).__name__} for {name!r}: use nn.Conv2d, or drop ow")
        odd = module.kernel_size[0] == module.kernel_size[1] and module.kernel_size[0] % 2 == 1
        same = module.padding == "same" or module.padding == (module.kernel_size[0] // 2,) * 2
        plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
        if type(module) is not nn.Conv2d or not (odd and same and plain and module.stride in ((1, 1), (2, 2))):
            raise UserError(
                f"ow cannot replace the convolution of {name!r}, {module}: it needs a plain nn.Conv2d with an odd "
                "square kernel k, zero padding k // 2, stride 1 or 2, one group and no dilation"
            )
        if module is model:
            raise UserError("ow replaces a convolution in its parent, but the model is one: put it in an nn.Sequential")
        return
    if getattr(module, "groups", 1) != 1:
        raise UserError(f"ow needs a convolution of one group, but that of {name!r} has {module.groups}: drop ow")
    try:
        PolarParametrization().right_inverse(weight.raw)
    except ValueError as error:
        raise UserError(f"ow cannot make {name!r} orthogonal: {error}") from error


def _is_skew_orthogonal(weight: Weight) -> bool:
    return isinstance(weight.module, SkewOrthogonalConv2d) and weight.attribute == "weight"


def _is_spatial(weight: Weight) -> bool:
    """Whether it is the filter of a convolution, not transposed, of more than one pixel: no dense map."""
    convolution = isinstance(weight.module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and weight.attribute == "weight"
    return convolution and weight.raw[0, 0].numel() > 1


def _wrap(config: TreatmentConfig, model: nn.Module, weight: Weight) -> Weight:
    """The weight as its treatments need it, the model changed in place."""
    if "ow" in config.names and _is_spatial(weight):
        layer = skew_orthogonal(weight.module)  # type: ignore[arg-type]
        path, _, child = weight.name.rpartition(".")[0].rpartition(".")
        setattr(model.get_submodule(path), child, layer)
        return Weight(weight.name, layer, "weight", layer.weight)
    if "sn" in config.names:
        parametrize.register_parametrization(weight.module, weight.attribute, SpectralNorm(weight.raw))
    elif "ow" in config.names and not _is_skew_orthogonal(weight):
        parametrize.register_parametrization(weight.module, weight.attribute, PolarParametrization())
    return weight


def skew_orthogonal(conv: nn.Conv2d) -> SkewOrthogonalConv2d:
    """A skew-orthogonal convolution in a convolution's place: its channels, kernel size, stride, bias, dtype, device,
    layout and mode, and a filter that is drawn anew, the same for the same old one, so that it follows the seed."""
    weight = conv.weight
    layer = SkewOrthogonalConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size[0],
        conv.stride[0],
        bias=conv.bias is not None,
        generator=torch.Generator().manual_seed(_fingerprint(weight)),
    ).to(weight)
    layer.bias = conv.bias  # type: ignore[assignment]
    if weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous():
        layer.to(memory_format=torch.channels_last)
    return layer.train(conv.training)


def _fingerprint(tensor: Tensor) -> int:
    values = tensor.detach().double().cpu().contiguous().numpy()
    return int.from_bytes(hashlib.sha256(values.tobytes()).digest()[:7], "big")
