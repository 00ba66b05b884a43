"""The loop does what the recipe says, and every treatment changes what it says it changes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import RECIPES, make_trainer
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.orthogonal import SkewOrthogonalConv2d
from disentangle.training.architectures import ResNetConfig
from disentangle.training.hardware import make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.objectives import BetaVAELoss, ClassifierLoss
from disentangle.training.optimizers import AdamConfig
from disentangle.training.recipe import DataConfig, Recipe
from disentangle.treatments import TreatmentConfig, optimal_learning_rate


@pytest.fixture(params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


def treated(recipe: Recipe, *names: str, rate: float = 1e-3) -> Recipe:
    return replace(recipe, treatment=TreatmentConfig(names), optimizer=AdamConfig(learning_rate=rate))


def bases(trainer: Trainer) -> list[Tensor]:
    return [trainer.product.get_parameter(layer.parameter) for layer in trainer.product.projections()]


def test_a_run_leaves_everything_it_promises(tmp_path: Path, recipe: Recipe) -> None:
    make_trainer(tmp_path / "run", recipe).train()
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    grids = [] if recipe.loss.kind == "classifier" else [f"{s:08d}.png" for s in (0, 3, 6)]
    assert sorted(p.name for p in (tmp_path / "run").glob("samples/*")) == grids
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir()) == ["00000004", "00000006"]
    assert json.loads((tmp_path / "run/config.json").read_text())["recipe"]["batch_size"] == 8


def test_two_trainings_of_one_seed_are_equal_and_of_two_seeds_are_not(tmp_path: Path, recipe: Recipe) -> None:
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trainer = make_trainer(tmp_path / name, replace(recipe, seed=seed))
        trainer.train()
        weights.append(torch.cat([p.detach().flatten() for p in trainer.product.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])


def test_nog_makes_every_singular_value_of_the_gradients_one(tmp_path: Path, recipe: Recipe) -> None:
    for names, orthogonal in ((("nog",), True), ((), False)):
        trainer = make_trainer(tmp_path / "-".join(("run", *names)), treated(recipe, *names))
        trainer.step(1)
        for basis in bases(trainer):
            values = torch.linalg.svdvals(basis.grad.flatten(1).double())
            assert torch.allclose(values, torch.ones_like(values), atol=1e-5) is orthogonal


def test_ol_drives_the_bases_to_orthogonality(tmp_path: Path, recipe: Recipe) -> None:
    errors = {}
    rate = 1e-2 if recipe.loss.kind in ("classifier", "factor-vae") else 1e-3  # whose layers begin further away
    for names in ((), ("ol",)):
        changed = replace(treated(recipe, *names, rate=rate), steps=100)
        trainer = make_trainer(tmp_path / "-".join(("run", *names)), changed)
        with torch.no_grad():
            for basis in bases(trainer):
                basis.mul_(1.2).add_(0.2 * basis.flip(0))
        for step in range(1, 101):
            trainer.step(step)
        matrices = [basis.detach().flatten(1) for basis in bases(trainer)]
        matrices = [matrix if len(matrix) <= matrix.shape[1] else matrix.T for matrix in matrices]
        errors[names] = [float((matrix @ matrix.T - torch.eye(len(matrix))).norm()) for matrix in matrices]
    assert max(errors[("ol",)]) < 0.25 * min(errors[()])


def test_olr_takes_the_optimal_rate_of_the_gradient_that_nog_leaves(tmp_path: Path, recipe: Recipe) -> None:
    base = 10.0
    moves, expected = {}, []
    for names in (("nog",), ("nog", "olr")):
        trainer = make_trainer(tmp_path / "-".join(("run", *names)), treated(recipe, *names, rate=base))
        before = [b.detach().clone() for b in bases(trainer)]
        trainer.step(1)
        moves[names] = [(b.detach() - old).norm() for b, old in zip(bases(trainer), before, strict=True)]
        expected = [float(optimal_learning_rate(old, b.grad)) for b, old in zip(bases(trainer), before, strict=True)]
    used = [0 < rate < base for rate in expected]
    assert any(used)
    # Adam's first step is the rate times a sign, so the ratio of the moves is that of the rates.
    for rate, fixed, optimal, taken in zip(expected, moves["nog",], moves["nog", "olr"], used, strict=True):
        assert float(optimal / fixed) == pytest.approx(rate / base if taken else 1.0, rel=1e-3)


def test_a_classifier_records_its_conditioning_and_its_tests_when_told_to(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", RECIPES["classifier"])
    trainer.train()
    rows = trainer.run.metrics()
    recorded = {name: [int(row["step"]) for row in rows if name in row] for name in rows[-1]}
    assert recorded["classifier/log10_kappa/bn1"] == [2, 4, 6]
    assert recorded["test/accuracy"] == [3, 6]
    assert recorded["classifier/accuracy"] == [1, 2, 3, 4, 5, 6]
    data, model = trainer.run.test_data(), trainer.run.load_classifier()
    every = torch.arange(len(data))
    guesses = model(data.images(every).float() / 127.5 - 1).argmax(1)
    assert rows[-1]["test/accuracy"] == pytest.approx(float((guesses == data.factors(every)[:, 0]).float().mean()))


def test_what_a_classifier_cannot_learn_from_is_refused(tmp_path: Path) -> None:
    recipe = RECIPES["classifier"]
    Image.new("L", (40, 40)).save(tmp_path / "one.png")
    unlabelled = DataConfig("folder", size=32, channels=1, root=tmp_path)
    with pytest.raises(UserError, match="no labels"):
        make_trainer(tmp_path / "a", replace(recipe, data=unlabelled))
    with pytest.raises(UserError, match="factor"):
        make_trainer(tmp_path / "b", replace(recipe, loss=ClassifierLoss(factor="digits")))
    treatment = TreatmentConfig(("ow",), parameters=("layer1.0.conv1.weight",))
    with pytest.raises(UserError, match=r"skew-orthogonal convolution of 'layer1\.0\.conv1'"):
        make_trainer(tmp_path / "d", replace(recipe, treatment=treatment))
    with pytest.raises(UserError, match="a resnet model does not train with a beta-vae loss"):
        make_trainer(tmp_path / "c", replace(recipe, loss=BetaVAELoss()))


def test_the_average_follows_and_samples_are_drawn_from_it(tmp_path: Path, recipe: Recipe) -> None:
    trainer = make_trainer(tmp_path / "run", replace(recipe, ema_pictures=10_000))
    initial = [p.clone() for p in trainer.ema.model.parameters()]
    trainer.step(1)
    current = [p.detach() for p in trainer.product.parameters()]
    # At step 1 the decay is 1/11, whatever the half-life.
    for old, new, average in zip(initial, current, trainer.ema.model.parameters(), strict=True):
        assert torch.allclose(average, old / 11 + new * 10 / 11, atol=1e-6)


def poisoned(trainer: Trainer, name: str, at: int, before: bool = True) -> Trainer:
    """The trainer, which finds NaN in a parameter, and in its average, before step ``at``, or leaves them after it."""
    original = trainer.step

    def step(number: int) -> dict[str, Tensor]:
        losses = {} if before else original(number)
        if number == at:
            with torch.no_grad():
                for model in (trainer.product, trainer.ema.model):
                    model.get_parameter(name).fill_(float("nan"))
        return losses or original(number)

    trainer.step = step  # type: ignore[method-assign]
    return trainer


@pytest.mark.parametrize("names", [(), ("nog",)])
def test_divergence_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, recipe: Recipe, names: tuple[str, ...]
) -> None:
    trainer = make_trainer(tmp_path / "run", replace(recipe, steps=20, treatment=TreatmentConfig(names)))
    with pytest.raises(UserError, match=r"diverged.* step 5; the checkpoint of step 4 is kept"):
        poisoned(trainer, next(iter(trainer.product.named_parameters()))[0], 5).train()
    assert trainer.run.checkpoints() == [2, 4]


def test_divergence_is_told_with_its_own_step_and_not_with_that_of_the_next_row(tmp_path: Path, recipe: Recipe) -> None:
    if recipe.loss.kind == "classifier":  # whose whitening would tell at once
        recipe = replace(recipe, model=ResNetConfig(depth="small", norm="batch"), test_every=0)
    recipe = replace(recipe, steps=30, log_every=9, checkpoint_every=4, treatment=TreatmentConfig(()))
    trainer = make_trainer(tmp_path / "run", recipe)
    with pytest.raises(UserError, match=r"diverged.* step 5; the checkpoint of step 4 is kept"):
        poisoned(trainer, next(iter(trainer.product.named_parameters()))[0], 5).train()


@pytest.mark.parametrize("log_every", [1, 3])
@pytest.mark.parametrize("names", [(), ("ol",), ("ow",), ("sn", "nog"), ("olr",), ("ow", "nog", "olr")], ids="+".join)
def test_a_weight_that_a_step_leaves_without_a_number_stops_a_classifier_whatever_its_treatment(
    tmp_path: Path, names: tuple[str, ...], log_every: int
) -> None:
    recipe = replace(
        RECIPES["classifier"],
        model=ResNetConfig(depth="small", norm="batch", pool="covariance", pool_channels=4),
        treatment=TreatmentConfig(names, ol_weight=0.1),  # at 100 it would diverge by itself
        steps=20,
        log_every=log_every,
        test_every=5,
        conditioning_every=5,
    )
    trainer = make_trainer(tmp_path / "run", recipe)
    wrapped = {"ow", "sn"} & set(names)
    name = "pooling.conv.parametrizations.weight.original" if wrapped else "pooling.conv.weight"
    with pytest.raises(UserError, match=r"diverged.* step 5; the checkpoint of step 4 is kept"):
        poisoned(trainer, name, 5, before=False).train()
    assert trainer.run.checkpoints() == [2, 4]


def test_a_running_statistic_that_is_no_number_is_in_no_checkpoint(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", RECIPES["classifier"])
    trainer.product.get_buffer("bn1.running_mean").fill_(float("inf"))
    with pytest.raises(UserError, match=r"weights of the classifier not finite at step 2; there is no checkpoint yet"):
        trainer.train()


def test_a_stem_is_skew_orthogonal_where_it_is_named_and_loads_as_such(tmp_path: Path) -> None:
    recipe = RECIPES["classifier"]
    for model in (recipe.model, replace(recipe.model, norm="batch")):
        dense = TreatmentConfig(("ow",), parameters=("layer1.0.downsample.0.weight",))
        trainer = make_trainer(tmp_path / f"dense-{model.norm}", replace(recipe, model=model, treatment=dense))
        assert type(trainer.product.get_submodule("conv1")) is nn.Conv2d, "only what was named is changed"
        stem = TreatmentConfig(("ow",), parameters=("conv1.weight",))
        trainer = make_trainer(
            tmp_path / f"stem-{model.norm}", replace(recipe, model=model, treatment=stem, steps=1, test_every=0)
        )
        trainer.train()
        assert isinstance(trainer.run.load_classifier().conv1, SkewOrthogonalConv2d)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 101}, "batch_size is 101, but digits has 100 pictures"),
        ({"treatment": TreatmentConfig((), parameters=("a",))}, "no treatment is named for a"),
        ({"treatment": TreatmentConfig(("none",))}, "or not at all for none, got 'none'"),
        ({"treatment": TreatmentConfig(("ol+nog",))}, "one by one, as in `ol nog`"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"data": DataConfig("digits", size=48)}, "power of two"),
        ({"data": DataConfig("digits", size=32, pictures=5_000)}, "1797"),
        ({"treatment": TreatmentConfig(("nogg",))}, "did you mean nog"),
        ({"treatment": TreatmentConfig(("nog", "nog"))}, "twice"),
        ({"optimizer": AdamConfig(learning_rate=0.0)}, "learning_rate must be above 0"),
    ],
)
def test_bad_recipes_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_trainer(tmp_path / "run", replace(RECIPES["gan"], **change))


def test_a_recipe_survives_its_dictionary(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    with pytest.raises(UserError, match="not a recipe of this version: batch"):
        Recipe.from_dict(recipe.to_dict() | {"batch_size": "many"})
    with pytest.raises(UserError, match="not a recipe of this version: bath"):
        Recipe.from_dict(recipe.to_dict() | {"bath": 3})


def test_tensorboard_gets_the_same_scalars(tmp_path: Path, recipe: Recipe) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = make_trainer(tmp_path / "run", replace(recipe, steps=2, tensorboard=True))
    trainer.train()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for row in trainer.run.metrics():
        for name, value in row.items():
            if name not in ("step", "time"):
                logged = {event.step: event.value for event in events.Scalars(name)}
                assert logged[int(row["step"])] == pytest.approx(value, rel=1e-6)


def test_a_training_that_is_stopped_and_resumed_ends_as_one_that_was_not(tmp_path: Path, recipe: Recipe) -> None:
    whole = make_trainer(tmp_path / "whole", recipe)
    whole.train()
    stopped = make_trainer(tmp_path / "stopped", recipe)
    original = stopped.step

    def step(number: int) -> dict[str, Tensor]:
        if number == 6:
            raise KeyboardInterrupt
        return original(number)

    stopped.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    run = stopped.run
    assert run.checkpoints() == [2, 4]
    Trainer(run, run.data(), make_accelerator("cpu")).train()
    folders = [r.checkpoint_path(recipe.steps) for r in (whole.run, run)]
    files = sorted(str(file.relative_to(folders[0])) for file in folders[0].rglob("*.safetensors"))
    assert len(files) == len(whole.networks) + 2  # the average and the trainer's state
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file
