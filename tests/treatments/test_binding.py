"""Binding: a treatment that would do nothing, or something else, is an error; and the way back, folding."""

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from treated import BOUND, KINDS, ConvToy, Toy, gaussian, singular_values, started

from disentangle.errors import DisentangleWarning, UserError
from disentangle.models import EigenGAN
from disentangle.models.blocks import ToImage
from disentangle.orthogonal import SkewOrthogonalConv2d
from disentangle.treatments import TreatmentConfig, bind, fold


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TreatmentConfig(("nogg",)), "unknown treatment 'nogg': did you mean nog"),
        (TreatmentConfig(("orth",)), "possible: nog, ol, olr, ow, sn"),
        (
            TreatmentConfig(("ow", "nog", "sn")),
            "sn and ow exclude each other: an orthogonal weight has spectral norm 1",
        ),
        (TreatmentConfig(target="step"), "unknown target 'step': possible: gradient, update"),
        (TreatmentConfig(("nog", "ol", "nog")), "'nog' is named twice"),
        (TreatmentConfig(("ol",), ol_weight=-1.0), "ol_weight"),
        (TreatmentConfig(("ol",), ol_weight=math.nan), "ol_weight"),
        (TreatmentConfig(null="keep"), "unknown null 'keep'"),
        (TreatmentConfig(rtol=2.0), "rtol"),
    ],
)
def test_wrong_configurations_are_refused(config: TreatmentConfig, words: str) -> None:
    with pytest.raises(UserError, match=words):
        bind(config, Toy(), BOUND)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "nog is bound to no parameter"),
        (["layer.bass"], "unknown parameter 'layer.bass': did you mean layer.basis"),
        (["layer.basis", "layer.basis"], "'layer.basis' is to be treated twice"),
        (["basis_without_gradient"], "'basis_without_gradient' is frozen"),
        (["layer.mean"], r"'layer.mean' has shape \(16,\)"),
    ],
)
def test_wrong_bindings_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        bind(TreatmentConfig(), Toy(), names)


@pytest.mark.parametrize("name", ["nog", "olr"])
def test_a_weight_without_gradient_is_refused_before_anything_changed(name: str) -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig((name,)), toy, ["layer.basis", "unused"])
    optimizer = torch.optim.SGD(treatment.param_groups(p for p in toy.parameters() if p.requires_grad), lr=0.1)
    toy.loss().backward()
    gradient, before = toy.layer.basis.grad.clone(), toy.layer.basis.detach().clone()
    with pytest.raises(UserError, match="'unused' has no gradient"):
        treatment.step(optimizer)
    assert torch.equal(toy.layer.basis.grad, gradient)
    assert torch.equal(toy.layer.basis, before)


def test_a_gradient_that_is_not_finite_is_refused_by_name() -> None:
    toy, treatment, optimizer = started("nog")
    toy.conv.weight.grad[0, 0, 0, 0] = math.nan
    with pytest.raises(UserError, match=r"gradient of 'conv.weight'.*NaN or infinite"):
        treatment.step(optimizer)


def test_olr_refuses_an_optimiser_whose_groups_do_not_single_out_the_weight() -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(("olr",)), toy, BOUND)
    toy.loss().backward()
    with pytest.raises(UserError, match=r"'layer.basis' alone.*treatment.param_groups"):
        treatment.step(torch.optim.SGD(toy.parameters(), lr=0.1))


def test_a_weight_that_the_optimiser_never_gets_is_refused() -> None:
    toy = Toy()
    for name in ("ol", "nog", "olr"):
        with pytest.raises(UserError, match=r"'conv.weight' is not among those given to the optimiser"):
            bind(TreatmentConfig((name,)), toy, BOUND).param_groups(toy.layer.parameters())


def test_the_configuration_is_frozen_and_survives_its_dictionary() -> None:
    config = TreatmentConfig(("ol", "olr"), rtol=1e-3)
    assert TreatmentConfig(**dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.null = "fill"  # type: ignore[misc]


# --- what binding changes


def test_bind_without_sn_and_ow_changes_nothing() -> None:
    toy, plain = ConvToy(), ConvToy()
    bind(TreatmentConfig(("ol", "nog", "olr")), toy, KINDS)
    assert [name for name, _ in toy.named_modules()] == [name for name, _ in plain.named_modules()]
    assert [type(module) for module in toy.modules()] == [type(module) for module in plain.modules()]
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in toy.state_dict().items())


@pytest.mark.parametrize("name", ["sn", "ow"])
def test_the_raw_tensors_are_those_that_the_model_trains(name: str) -> None:
    toy = ConvToy()
    treatment = bind(TreatmentConfig((name,)), toy, KINDS)
    trained = dict(toy.named_parameters())
    for kind in KINDS:
        path, _, attribute = kind.rpartition(".")
        wrapped = ".".join(filter(None, [path, "parametrizations", attribute, "original"]))
        where = kind if kind == "stem.weight" and name == "ow" else wrapped
        assert treatment.parameters[kind] is trained[where]
    assert len(trained) == len(dict(ConvToy().named_parameters()))
    assert set(treatment.metrics()) == {f"orthogonality/{kind}" for kind in KINDS}


def test_sn_divides_by_the_norm_of_the_first_dimension_against_the_rest() -> None:
    toy, plain = ConvToy(), ConvToy()
    bind(TreatmentConfig(("sn",)), toy, KINDS)
    for kind in KINDS:
        path, _, attribute = kind.rpartition(".")
        weight = plain.get_parameter(kind).detach()
        effective = getattr(toy.get_submodule(path), attribute).detach()
        torch.testing.assert_close(effective, weight / singular_values(weight)[0], rtol=1e-12, atol=1e-12)


def test_ow_starts_from_the_nearest_orthogonal_weight_and_a_convolution_of_its_own() -> None:
    toy, plain = ConvToy(), ConvToy()
    bind(TreatmentConfig(("ow",)), toy, KINDS)
    for kind in KINDS[1:]:
        path, _, attribute = kind.rpartition(".")
        weight = plain.get_parameter(kind).detach().flatten(1)
        left, _, right = torch.linalg.svd(weight, full_matrices=False)
        effective = getattr(toy.get_submodule(path), attribute).detach()
        torch.testing.assert_close(effective.flatten(1), left @ right, rtol=0, atol=1e-12)
    stem = toy.stem
    assert isinstance(stem, SkewOrthogonalConv2d)
    assert (stem.in_channels, stem.out_channels, stem.kernel_size, stem.stride) == (1, 4, 3, 1)
    assert stem.weight.dtype == torch.float64
    assert torch.equal(stem.bias, plain.stem.bias)
    assert stem.training


def test_the_filter_that_replaces_a_convolutions_follows_that_one_and_no_global_state() -> None:
    filters = []
    for change in (0.0, 0.0, 1e-9):
        torch.rand(3)  # moves the global random state
        before = torch.get_rng_state()
        toy = ConvToy()
        toy.stem.weight.data.add_(change)
        bind(TreatmentConfig(("ow",)), toy, ["stem.weight"])
        assert torch.equal(torch.get_rng_state(), before)
        filters.append(toy.stem.weight.detach())
    assert torch.equal(filters[0], filters[1])
    assert (filters[0] - filters[2]).norm() > 0.1


def test_ow_keeps_stride_mode_layout_and_the_absence_of_a_bias() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False), nn.ReLU()).eval()
    net.to(memory_format=torch.channels_last)
    bind(TreatmentConfig(("ow",)), net, ["0.weight"])
    layer = net[0]
    assert isinstance(layer, SkewOrthogonalConv2d)
    assert (layer.stride, layer.kernel_size, layer.bias, layer.training) == (2, 5, None, False)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert net(torch.ones(2, 3, 7, 8)).shape == (2, 8, 4, 4)


def test_ow_leaves_a_skew_orthogonal_convolution_as_it_is() -> None:
    net = nn.Sequential(SkewOrthogonalConv2d(1, 4, 5))
    layer, weight = net[0], net[0].weight
    treatment = bind(TreatmentConfig(("ow", "nog", "olr", "ol")), net, ["0.weight"])
    assert net[0] is layer
    assert treatment.parameters == {"0.weight": weight}


def test_the_configurations_own_names_take_the_place_of_the_models() -> None:
    toy = ConvToy()
    treatment = bind(TreatmentConfig(("ow",), parameters=("mix.weight", "raw")), toy, ["stem.weight"])
    assert set(treatment.parameters) == {"mix.weight", "raw"}
    assert type(toy.stem) is nn.Conv2d
    assert set(bind(TreatmentConfig(("nog",), parameters=("raw2",)), Named(), []).parameters) == {"raw2"}


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.raw2 = nn.Parameter(torch.ones(2, 2))
        self.tied = nn.Linear(3, 3)
        self.again = nn.Linear(3, 3)
        self.again.weight = self.tied.weight
        self.zero = nn.Parameter(torch.zeros(2, 2))
        self.low = nn.Parameter(torch.ones(2, 2))
        self.even = nn.Conv2d(2, 2, 4, padding=1)
        self.grouped = nn.Conv2d(2, 2, 3, padding=1, groups=2)
        self.grouped_dense = nn.Conv2d(2, 2, 1, groups=2)
        self.valid = nn.Conv2d(2, 2, 3)
        self.dilated = nn.Conv2d(2, 2, 3, padding=1, dilation=2)
        self.circular = nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")
        self.strided = nn.Conv2d(2, 2, 3, padding=1, stride=3)
        self.oblong = nn.Conv2d(2, 2, (3, 1), padding=(1, 0))
        self.line = nn.Conv1d(2, 2, 3, padding=1)
        self.skew = SkewOrthogonalConv2d(2, 2)
        self.image = ToImage(2, 2, 3)


@pytest.mark.parametrize(
    ("treatment", "name", "words"),
    [
        *((t, "tied.weight", "shared by tied.weight, again.weight") for t in ("ol", "nog", "sn", "ow")),
        ("sn", "zero", "sn needs a finite weight that is not zero, but 'zero'"),
        ("sn", "skew.weight", "sn would change nothing"),
        ("ow", "low", "ow cannot make 'low' orthogonal: a weight of rank 1, not 2"),
        *(
            ("ow", f"{name}.weight", f"ow cannot replace the convolution of '{name}.weight'.*odd square kernel")
            for name in ("even", "grouped", "valid", "dilated", "circular", "strided", "oblong", "image")
        ),
        ("ow", "line.weight", "ow has no orthogonal Conv1d"),
        ("ow", "grouped_dense.weight", "one group, but that of 'grouped_dense.weight' has 2"),
    ],
)
def test_weights_that_cannot_be_treated_are_refused_before_anything_changed(
    treatment: str, name: str, words: str
) -> None:
    model = Named()
    before = list(model.state_dict())
    with pytest.raises(UserError, match=words) as caught:
        bind(TreatmentConfig((treatment,)), model, ["raw2", name][treatment == "ow" :])
    assert "\n" not in str(caught.value)
    assert list(model.state_dict()) == before


@pytest.mark.parametrize("name", ["sn", "ow"])
def test_binding_a_wrapped_model_again_is_refused(name: str) -> None:
    toy = ConvToy()
    bind(TreatmentConfig((name,)), toy, KINDS)
    with pytest.raises(UserError, match=r"'mix.weight' is parametrised already: bind a model's treatments once"):
        bind(TreatmentConfig(("nog",)), toy, ["mix.weight"])
    with pytest.raises(UserError, match="'raw' is parametrised already"):
        bind(TreatmentConfig(("nog",)), toy, ["raw"])


def test_a_convolution_without_a_parent_is_refused() -> None:
    with pytest.raises(UserError, match=r"put it in an nn.Sequential"):
        bind(TreatmentConfig(("ow",)), nn.Conv2d(2, 2, 3, padding=1), ["weight"])


@pytest.mark.parametrize("name", ["sn", "ow"])
def test_it_is_said_where_olr_has_no_say(name: str) -> None:
    with pytest.warns(DisentangleWarning, match=r"olr has no say over mix.weight: .*add nog"):
        treatment = bind(TreatmentConfig((name, "olr")), toy := ConvToy(), ["mix.weight"])
    optimizer = torch.optim.SGD(treatment.param_groups(toy.parameters()), lr=0.1)
    toy.loss().backward()
    treatment.step(optimizer)
    assert treatment.metrics()["rate/mix.weight"] == 0
    assert treatment.metrics()["olr_used"] == 0
    bind(TreatmentConfig((name, "olr", "nog")), ConvToy(), ["mix.weight"])  # says nothing


# --- folding


def test_folding_a_model_without_treatments_is_the_model_itself() -> None:
    toy = ConvToy()
    assert fold(toy) is toy
    bind(TreatmentConfig(("nog", "ol")), toy, KINDS)
    assert fold(toy) is toy


@pytest.mark.parametrize("name", ["sn", "ow"])
def test_a_folded_model_is_plain_equal_and_apart(name: str) -> None:
    toy = ConvToy()
    treatment = bind(TreatmentConfig((name,)), toy, KINDS)
    optimizer = torch.optim.SGD(toy.parameters(), lr=0.1)
    average = copy.deepcopy(toy)
    for step in range(3):
        optimizer.zero_grad()
        toy.loss(step).backward()
        treatment.step(optimizer)
    state = copy.deepcopy(toy.state_dict())
    folded = fold(toy)
    images = gaussian(3, 1, 4, 3)
    assert folded.training
    torch.testing.assert_close(folded.eval()(images), toy.eval()(images), rtol=0, atol=0)
    assert all(torch.equal(value, state[key]) for key, value in toy.state_dict().items())
    assert type(folded) is ConvToy
    plain = ConvToy()
    expected = [type(module) for module in plain.modules()]
    if name == "ow":
        expected[1] = SkewOrthogonalConv2d
    assert [type(module) for module in folded.modules()] == expected
    if name == "sn":
        plain.load_state_dict(folded.state_dict())
        assert torch.equal(plain(images), folded(images))
    # A deep copy shares its class with the original, which must not lose its property.
    before = toy(images)
    folded.dense.weight.data.zero_()
    assert torch.equal(toy(images), before)
    assert not torch.equal(average.eval()(images), before)
    average.train()
    average.loss().backward()
    assert average.dense.parametrizations.weight.original.grad.norm() > 0
    assert type(fold(average).dense) is nn.Linear
    assert fold(folded) is folded


def test_folding_takes_off_no_one_elses_parametrisation() -> None:
    toy = ConvToy()
    nn.utils.parametrizations.weight_norm(toy.dense)
    bind(TreatmentConfig(("ow",)), toy, ["mix.weight"])
    folded = fold(toy)
    assert type(folded.mix) is nn.Conv2d
    assert nn.utils.parametrize.is_parametrized(folded.dense, "weight")
    assert not nn.utils.parametrize.is_parametrized(folded.mix)


@pytest.mark.parametrize("names", [("sn",), ("ow",), ("nog", "ow"), ("ol", "sn")], ids="+".join)
def test_a_folded_generator_is_saved_and_loaded_without_its_treatment(tmp_path: Path, names: tuple[str, ...]) -> None:
    generator = EigenGAN(size=32, channels=1, rank=2, noise=4, base_channels=2, max_channels=4)
    treatment = bind(TreatmentConfig(names), generator, [p.parameter for p in generator.projections()])
    optimizer = torch.optim.AdamW(treatment.param_groups(generator.parameters()), lr=1e-2)
    latents = generator.sample_latents(4, torch.Generator().manual_seed(1))
    for _ in range(2):
        optimizer.zero_grad()
        (generator(latents).square().mean() + treatment.penalty()).backward()
        treatment.step(optimizer)
    generator.eval()
    fold(generator).save_pretrained(tmp_path, safe_serialization=True)
    loaded = EigenGAN.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert torch.equal(loaded(latents), generator(latents))
    for ours, theirs in zip(generator.projections(), loaded.projections(), strict=True):
        assert torch.equal(ours.matrix(), theirs.matrix())
        if "ow" in names:
            scale = loaded.get_submodule(theirs.parameter.removesuffix(".basis")).scale.detach()
            sigma = torch.linalg.svdvals(theirs.matrix() / scale)
            torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=1e-5)
