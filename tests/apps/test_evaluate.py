"""``disentangle evaluate``: what it measures of a run, what it writes, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from runs import vae_run
from tiny import RECIPES, make_trainer
from torch import Tensor, nn

from disentangle import metrics
from disentangle.apps import report as report_module
from disentangle.apps.cli import main
from disentangle.apps.evaluate import _write, evaluate
from disentangle.apps.evaluation import pictures as pictures_module
from disentangle.apps.evaluation import subject as subject_module
from disentangle.apps.evaluation.codes import read_codes
from disentangle.apps.evaluation.ledger import Ledger
from disentangle.apps.evaluation.measure import follow, measure
from disentangle.apps.evaluation.pictures import PICTURES, Turned
from disentangle.apps.evaluation.schema import ADAPTER
from disentangle.apps.evaluation.score import quiet
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.subject import unpack
from disentangle.apps.evaluation.suite import CODES, ERRORS
from disentangle.apps.evaluation.team import Team
from disentangle.data.identity import content_of
from disentangle.directions import discover
from disentangle.errors import UserError
from disentangle.metrics import frechet_distance, load_features, udr
from disentangle.models import EigenGAN
from disentangle.training.draws import seeded
from disentangle.training.files import locked
from disentangle.training.recipe import DataConfig
from disentangle.training.run import Run

CPU = torch.device("cpu")
FEW = Settings(train_samples=150, test_samples=80, samples=24)


class Corners:
    """Cheap features: the means of a picture's sixteen parts."""

    name = "corners"

    def __call__(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@pytest.fixture
def corners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feature network costs seconds; what is not about it does without."""
    monkeypatch.setattr(pictures_module, "load_features", lambda name, device=None: Corners())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real, tiny run of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    for kind, recipe in RECIPES.items():
        make_trainer(folder / kind, recipe).train()
    return {kind: folder / kind for kind in RECIPES}


@pytest.fixture
def runs(trained: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies of them, to be written into."""
    return {kind: Path(shutil.copytree(path, tmp_path / kind)) for kind, path in trained.items()}


def steady(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in ("seconds", "created")}


def by_name(report: dict[str, Any]) -> dict[str, Any]:
    return {score["name"]: score for score in report["scores"]}


def numbers(value: Any) -> Iterator[object]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    else:
        yield value


@pytest.mark.usefixtures("corners")
def test_a_vae_gets_every_score_and_the_files_hold_them(runs: dict[str, Path]) -> None:
    run = Run.open(runs["vae"])
    report = evaluate(run, FEW, command="the command")
    assert json.loads((run.path / "report.json").read_text()) == report
    assert list(by_name(report)) == [
        "MIG",
        "DCI disentanglement",
        "DCI completeness",
        "DCI informativeness",
        "Fréchet distance",
        "Reconstruction error",
    ]
    assert (report["version"], report["kind"], report["step"], report["seed"]) == (3, "vae", 6, 0)
    assert report["samples"] == {"pictures": 24, "reconstructions": 24, "train_codes": 150, "test_codes": 80}
    for score in report["scores"]:
        assert isinstance(score["value"], float)
        assert all(isinstance(number, float) for number in score["baselines"].values())
        assert score["explanation"].endswith(".")
    assert set(by_name(report)["MIG"]["baselines"]) == {"rotated", "perfect", "noise"}
    assert len(report["codes"]["names"]) == len(report["codes"]["active"]) == len(report["codes"]["kl"]) == 6
    assert not any(isinstance(value, float) and not np.isfinite(value) for value in numbers(report))
    page = (run.path / "report.html").read_text()
    assert "the command" in page
    assert "Reconstructions" in page


@pytest.mark.usefixtures("corners")
def test_a_gan_says_why_it_has_no_codes(runs: dict[str, Path]) -> None:
    run = Run.open(runs["gan"])
    report = evaluate(run, FEW)
    assert list(by_name(report)) == ["Fréchet distance"]
    assert [entry["name"] for entry in report["not_applicable"]] == ["MIG", "DCI"]
    assert all("no encoder" in entry["reason"] for entry in report["not_applicable"])
    assert report["codes"] is None
    assert "this generator has no encoder" in (run.path / "report.html").read_text()


@pytest.mark.usefixtures("corners")
def test_a_seed_gives_the_same_report_and_another_one_another(trained: dict[str, Path]) -> None:
    run = Run.open(trained["vae"])
    torch.manual_seed(1)
    first, pictures = measure(run, FEW)
    torch.manual_seed(2)  # a global seed must not matter
    again, same = measure(run, FEW)
    other, different = measure(run, replace(FEW, seed=1))
    assert steady(first) == steady(again)
    assert torch.equal(pictures.samples, same.samples)
    assert not torch.equal(pictures.samples, different.samples)
    changed = {name for name, score in by_name(other).items() if score["value"] != by_name(first)[name]["value"]}
    # digits have one factor: with that, DCI's disentanglement is always 1
    assert changed == set(by_name(first)) - {"DCI disentanglement"}


def test_the_frechet_distance_is_a_direct_call(trained: dict[str, Path]) -> None:
    run = Run.open(trained["gan"])
    report, _ = measure(run, replace(FEW, samples=20))
    data, model, network = run.data(), run.load_generator(), load_features()
    with torch.no_grad():
        made = model.synthesize(model.sample_latents(20, seeded(0, "samples")))
    eight_bits = ((made + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    chosen = torch.randperm(len(data), generator=seeded(0, "pictures"))[:20]
    direct = frechet_distance(network(eight_bits), network(data.images(chosen) / 127.5 - 1))
    score = by_name(report)["Fréchet distance"]
    assert score["value"] == pytest.approx(direct.score, rel=1e-4)
    assert network.name in score["variant"]
    assert score["parts"]["n"] == 20


@pytest.mark.usefixtures("corners")
def test_the_scores_of_codes_are_direct_calls(trained: dict[str, Path]) -> None:
    run = Run.open(trained["vae"])
    report, _ = measure(run, FEW)
    arrays = read_codes(run.load_generator(), run.data(), FEW, CPU, Team())
    labelled, _ = unpack(arrays, run.data())
    for name in ("mig", "dci"):
        for score in CODES[name].scores(labelled, FEW):
            assert by_name(report)[score.name] == score.to_dict()


class Pixels:
    """A labelled set whose first pixels are the factors; remembers what it was asked for."""

    name, size, channels = "pixels", 32, 1
    factor_names, factor_sizes = ("a", "b"), (5, 7)
    factor_values = (tuple("01234"), tuple("0123456"))

    def __init__(self, n: int) -> None:
        self.n = n
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.n

    def factors(self, indices: Tensor) -> Tensor:
        return torch.stack([indices % 5, indices // 5 % 7], dim=1)

    def images(self, indices: Tensor) -> Tensor:
        self.asked += indices.tolist()
        pictures = torch.zeros(len(indices), 1, 32, 32, dtype=torch.uint8)
        pictures[:, 0, 0, :2] = self.factors(indices).byte()
        return pictures


class Seer(nn.Module):
    """An encoder that makes no mistake, and has a constant code besides."""

    def encode(self, images: Tensor) -> Tensor:
        return ((images[:, 0, 0, :2] + 1) * 127.5) @ torch.tensor([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.0]])


def test_a_perfect_encoder_gets_perfect_scores() -> None:
    data = Pixels(3_500)
    settings = Settings(train_samples=1_000, test_samples=500)
    labelled, codes = unpack(read_codes(Seer(), data, settings, CPU, Team()), data)
    assert len(data.asked) == len(set(data.asked)) == 1_500
    assert torch.equal(torch.from_numpy(labelled.factors), data.factors(torch.tensor(data.asked)))
    assert np.allclose(labelled.codes[:, :2], labelled.factors[:, ::-1] * [-1, 2])
    assert codes["active"] == [True, True, False]
    assert codes["kl"] is None
    (gap,) = CODES["mig"].scores(labelled, settings)
    assert gap.value == pytest.approx(gap.baselines["perfect"])
    assert gap.value > 0.98 > 0.5 > gap.baselines["rotated"]


def test_other_pictures_under_the_same_name_are_another_set() -> None:
    changed = Pixels(90)
    changed.factors = lambda indices: Pixels.factors(changed, indices) * (indices[:, None] != 89)  # type: ignore[method-assign]
    assert content_of(Pixels(90)) == content_of(Pixels(90)) != content_of(changed)


def test_few_data_are_shared_out_in_proportion() -> None:
    data = Pixels(90)
    labelled, _ = unpack(read_codes(Seer(), data, Settings(), CPU, Team()), data)
    assert (labelled.train, len(labelled.codes)) == (60, 90)
    assert sorted(data.asked) == list(range(90))


@pytest.mark.usefixtures("corners")
def test_a_data_set_too_small_is_said_to_be(trained: dict[str, Path]) -> None:
    report, _ = measure(Run.open(trained["vae"]), Settings(samples=2_000))
    assert report["samples"]["pictures"] == 898  # half of 1,797, so that the other half can be compared with
    assert (report["samples"]["train_codes"], report["samples"]["test_codes"]) == (1_198, 599)
    assert report["notes"] == [
        "The data set has only 1,797 pictures: 898 pictures instead of 2,000, 1,198 train codes instead of 10,000, "
        "599 test codes instead of 5,000."
    ]


@pytest.mark.usefixtures("corners")
def test_pictures_without_labels_still_have_a_frechet_distance(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / f"{i}.png")
    data = DataConfig("folder", size=32, channels=1, root=folder)
    trainer = make_trainer(tmp_path / "digits", RECIPES["vae"])
    trainer.train()
    config = json.loads((tmp_path / "digits/config.json").read_text())
    config["recipe"]["data"] |= {"name": data.name, "channels": 1, "root": str(folder), "pictures": None}
    (tmp_path / "digits/config.json").write_text(json.dumps(config))
    report, _ = measure(Run.open(tmp_path / "digits"), FEW)
    assert list(by_name(report)) == ["Fréchet distance", "Reconstruction error"]
    assert report["samples"]["pictures"] == 6
    assert "'folder' has no labels" in report["not_applicable"][0]["reason"]


def test_directions_come_strongest_first_and_still_ones_are_left_out() -> None:
    model = EigenGAN(size=32, channels=1, rank=2, noise=4, base_channels=4, max_channels=4).eval()
    model.blocks[0].subspace.scale.data[:] = torch.tensor([0.0, 1e-3])
    info, strips = follow(model, seed=0)
    activeness = [entry["activeness"] for entry in info["all"]]
    assert info["count"] == len(info["all"]) == 6
    shown = [activeness[k] for k in info["shown"]]
    assert shown == sorted(activeness, reverse=True)[: len(shown)]
    assert len(shown) == len(strips) == 4
    assert strips[0].shape == (9, 1, 32, 32)
    assert {entry["latent"] for entry in info["all"]} == set(range(6))
    assert info["collapsed"] == ["layer 1"]
    assert [entry["doubts"] for entry in info["all"] if entry["name"].startswith("layer 1")] == [
        ["hardly changes the picture"]
    ] * 2


def test_a_direction_file_of_the_same_directions_tells_what_they_move(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "run")
    model, weights = run.load_generator(), run.weights_hash()
    plain, _ = follow(model, 0, run, weights)
    assert "moves" not in plain["all"][0]
    found = discover(model, weights=weights)
    effects = torch.tensor([[0.6, 0.2]]).repeat(len(found), 1)
    kept = replace(
        found, activeness=torch.ones(len(found)), factors=("hue", "size"), effects=effects, readable=torch.ones(2)
    )
    kept.rename(1, "colour").save(run.path / "directions" / found.method)
    info, _ = follow(model, 0, run, weights)
    assert [entry["moves"] for entry in info["all"]] == ["hue"] * len(found)
    assert info["all"][1]["name"] == "colour"
    assert info["all"][1]["purity"] == pytest.approx(0.75)
    replace(kept, weights="0" * 64).save(run.path / "directions" / found.method)
    assert follow(model, 0, run, weights)[0] == plain


def test_the_command_prints_the_scores_and_where_the_page_is(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], corners: None
) -> None:
    out = tmp_path / "elsewhere"
    options = ["--train-samples", "150", "--test-samples", "80", "--samples", "24", "--out", str(out)]
    main(["evaluate", str(runs["vae"]), *options])
    printed = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert f"{by_name(report)['MIG']['value']:.3f}" in printed
    assert str(out / "report.html") in printed
    assert report["command"] == " ".join(["disentangle", "evaluate", str(runs["vae"]), *options])
    assert not (runs["vae"] / "report.json").exists()


def test_an_earlier_checkpoint_can_be_scored(runs: dict[str, Path], corners: None) -> None:
    run = Run.open(runs["vae"])
    earlier, _ = measure(run, replace(FEW, checkpoint=4))
    newest, _ = measure(run, FEW)
    assert (earlier["step"], newest["step"]) == (4, 6)
    assert earlier["weights"] != newest["weights"] == run.weights_hash()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/nothing"], "no run folder at"),
        (["{folder}"], "not a run folder"),
        (["{vae}", "--checkpoint", "5"], "no checkpoint of step 5: possible: 4, 6"),
        (["{vae}", "--scores"], "--scores needs a name"),
        (["{vae}", "--samples", "1"], "--samples must be at least 2, got 1"),
        (["{vae}", "--train-samples", "3"], "--train-samples must be at least"),
        (["{vae}", "--out", "{vae}/config.json"], "--out must be a folder"),
    ],
)
def test_bad_input_is_one_line(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    places = {"folder": str(tmp_path), **{kind: str(path) for kind, path in runs.items()}}
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *(argument.format(**places) for argument in arguments)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("disentangle: error: ")
    assert message in error
    assert not (runs["vae"] / "report.json").exists()


def test_a_run_without_a_checkpoint_is_refused(runs: dict[str, Path]) -> None:
    shutil.rmtree(runs["vae"] / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint yet"):
        evaluate(Run.open(runs["vae"]), FEW)


@pytest.mark.usefixtures("corners")
def test_a_diverged_run_is_refused_and_the_old_report_stays(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(runs["vae"])
    evaluate(run, FEW)
    before = {name: (run.path / name).read_bytes() for name in ("report.json", "report.html")}
    real = subject_module.load_network

    def diverged(path: Path) -> nn.Module:
        model = real(path)
        next(model.parameters()).data.fill_(torch.nan)
        return model

    monkeypatch.setattr(subject_module, "load_network", diverged)
    with pytest.raises(UserError, match="diverged"):
        evaluate(run, FEW, fresh=True)
    assert before == {name: (run.path / name).read_bytes() for name in before}


def test_help_shows_an_example_and_does_not_wait_for_torch() -> None:
    code = (
        "import sys\n"
        "from disentangle.apps.cli import main\n"
        "try:\n    main(['evaluate', '--help'])\n"
        "except SystemExit as stop:\n    sys.exit(stop.code or 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "disentangle evaluate runs/" in done.stdout
    for option in ("--samples", "--seed", "--out", "--device", "--checkpoint", "--dci-learner", "--train-samples"):
        assert option in done.stdout
    words = re.findall(r"[\w-]+", done.stdout)
    assert {"standard", "full", "codes", "pictures", *CODES, *PICTURES, *ERRORS} <= set(words)


@pytest.mark.usefixtures("corners")
def test_what_is_asked_for_is_reported_and_nothing_else(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vae, gan = Run.open(runs["vae"]), Run.open(runs["gan"])
    report = evaluate(vae, replace(FEW, scores=("mig",)), out=tmp_path / "mig")
    assert list(by_name(report)) == ["MIG"]
    assert report["not_applicable"] == []
    report = evaluate(vae, replace(FEW, scores=("reconstruction", "regression")), out=tmp_path / "errors")
    assert list(by_name(report)) == ["Reconstruction error"]
    assert [entry["name"] for entry in report["not_applicable"]] == ["Regression error"]
    report = evaluate(gan, replace(FEW, scores=("reconstruction",)), out=tmp_path / "gan")
    assert report["scores"] == []
    assert "`disentangle encode" in report["not_applicable"][0]["reason"]

    asked: list[str] = []
    real = Ledger.write

    def write(self: Ledger, name: str, *rest: Any) -> None:
        asked.append(f"{self.folder.parent.name} {name}")
        real(self, name, *rest)

    monkeypatch.setattr(Ledger, "write", write)
    report = evaluate(gan, FEW, against=vae, out=tmp_path / "both")  # of the VAE what the GAN has, too
    assert asked == ["both frechet", f"{vae.path.name} frechet"]
    assert [row["name"] for row in report["against"]["scores"]] == ["Fréchet distance"]


@pytest.mark.usefixtures("corners")
def test_a_report_keeps_to_its_schema(runs: dict[str, Path]) -> None:
    for kind in ("vae", "gan", "classifier"):
        report = evaluate(Run.open(runs[kind]), FEW)
        ADAPTER.validate_python(report)
        with pytest.raises(ValidationError):
            ADAPTER.validate_python(report | {"version": 1})


@pytest.mark.usefixtures("corners")
def test_an_evaluation_that_was_stopped_goes_on(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(runs["vae"])
    whole, _ = measure(run, FEW)
    real = CODES["dci"].compute

    def stopped(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setitem(CODES, "dci", replace(CODES["dci"], compute=stopped))
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, FEW)
    assert not (run.path / "report.json").exists()
    assert len(list((run.path / "scores").glob("mig-*.json"))) == 1
    monkeypatch.setitem(CODES, "dci", replace(CODES["dci"], compute=real))
    monkeypatch.setitem(CODES, "mig", replace(CODES["mig"], compute=stopped))  # what is done is not done again
    report = evaluate(run, FEW)
    assert report["scores"] == whole["scores"]
    assert "MIG" not in report["seconds"]
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, replace(FEW, seed=1))  # other inputs: what was done is of no use


@pytest.mark.usefixtures("corners")
def test_a_run_against_itself_differs_by_nothing(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--train-samples", "150", "--test-samples", "80", "--samples", "24"]
    main(["evaluate", str(runs["vae"]), "--against", str(runs["vae"]), *words])
    report = json.loads((runs["vae"] / "report.json").read_text())
    ADAPTER.validate_python(report)
    rows = {row["name"]: row for row in report["against"]["scores"]}
    assert list(rows) == list(by_name(report))
    assert (rows["MIG"]["difference"], rows["MIG"]["interval"], rows["MIG"]["verdict"]) == (0, [0, 0], "not clear")
    assert all(row["paired"] for name, row in rows.items() if by_name(report)[name]["resamples"])
    assert f"Against {runs['vae'].name}" in (runs["vae"] / "report.html").read_text()
    assert "not clear" in capsys.readouterr().out


def test_of_two_evaluations_at_once_both_files_are_one_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []
    real = os.replace

    def slow(source: Path, target: Path) -> None:
        real(source, target)
        order.append(Path(target).name)
        time.sleep(0.3)  # in which the other one would come between

    monkeypatch.setattr(report_module.os, "replace", slow)
    with ThreadPoolExecutor(2) as pool, locked(tmp_path):  # a training that goes on is in nobody's way
        for each in [pool.submit(_write, tmp_path, {"command": word}, word) for word in ("one", "other")]:
            each.result()
    assert [name for name in order if name.startswith("report.")] == ["report.html", "report.json"] * 2
    assert json.loads((tmp_path / "report.json").read_text())["command"] == (tmp_path / "report.html").read_text()


TOGETHER = """
import sys
from pathlib import Path
import torch
from disentangle.apps.evaluate import evaluate
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation import pictures
from disentangle.training.run import Run

class Corners:
    name = "corners"
    def __call__(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

pictures.load_features = lambda name, device=None: Corners()
evaluate(Run.open(sys.argv[1]), Settings(train_samples=400, test_samples=150, samples=300), out=Path(sys.argv[2]))
"""


def test_two_processes_write_the_report_that_one_writes(runs: dict[str, Path], tmp_path: Path, corners: None) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [sys.executable, *launcher, str(script), str(runs["vae"]), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    )
    alone, _ = measure(Run.open(runs["vae"]), Settings(train_samples=400, test_samples=150, samples=300))
    together = json.loads((tmp_path / "out/report.json").read_text())
    assert together["scores"] == json.loads(json.dumps(alone["scores"]))
    assert len(list((tmp_path / "out/scores").glob("*.json"))) == 4


@pytest.mark.usefixtures("corners")
def test_runs_of_other_seeds_give_a_score_without_labels(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = runs["vae"], ["--train-samples", "150", "--test-samples", "80", "--samples", "24", "--scores", "mig"]
    make_trainer(run.parent / "other", replace(RECIPES["vae"], seed=1)).train()
    main(["evaluate", str(run), "--siblings", str(run.parent / "other"), *words])
    report = json.loads((run / "report.json").read_text())
    ADAPTER.validate_python(report)
    score = by_name(report)["UDR"]
    models = [Run.open(path).load_generator() for path in (run, run.parent / "other")]
    arrays = [read_codes(model, Run.open(run).data(), FEW, CPU, Team()) for model in models]
    with quiet():
        direct = udr([codes["codes"] for codes in arrays], [codes["kl"] for codes in arrays])
    assert score["value"] == direct.model_scores[0]
    assert set(score["baselines"]) == {"turned copies", "copies", "noise"}
    assert (score["settings"]["learner"], score["settings"]["seed"]) == ("lasso, penalty 0.1", 0)
    assert "UDR" in capsys.readouterr().out
    with pytest.raises(UserError, match="has none: this generator has no encoder"):
        evaluate(Run.open(run), FEW, siblings=[Run.open(runs["gan"])])
    with pytest.raises(UserError, match="two of these runs have the same weights"):
        evaluate(Run.open(run), FEW, siblings=[Run.open(run)])


def metrics_of_random_directions(model: Any) -> dict[str, float]:
    """By hand: each of the directions moved to -2, 0 and 2, the others left as they are."""
    basis = Turned(model, 0).basis
    assert torch.allclose(basis @ basis.T, torch.eye(model.latent_size), atol=1e-5)
    latents = model.sample_latents(64, torch.Generator().manual_seed(0))
    found = []
    for direction in basis.T:
        rest = latents - (latents @ direction)[:, None] * direction
        with torch.no_grad():
            images = torch.stack([model.synthesize(rest + place * direction).double() for place in (-2.0, 0.0, 2.0)])
        found.append(float(images.var(dim=0, correction=0).mean()))
    return {"random directions": pytest.approx(float(np.mean(found)), rel=1e-4)}


@pytest.mark.usefixtures("corners")
def test_a_generator_gets_every_score_of_pictures(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def apart(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean(dim=(1, 2, 3))

    monkeypatch.setattr(pictures_module, "load_distance", lambda name, device=None: apart)
    short = partial(metrics.variation_predictability, epochs=1, width=4, repeats=2)
    monkeypatch.setattr(metrics, "variation_predictability", short)
    settings = replace(FEW, scores=("pictures",), paths=12, pairs=20)
    report = evaluate(Run.open(runs["gan"]), settings)
    ADAPTER.validate_python(report)
    scores = by_name(report)
    names = [part.name for score in PICTURES.values() for part in score.parts.values()]
    assert list(scores) == names
    for name in ("Fréchet distance", "Kernel distance", "Precision", "Recall", "Density", "Coverage"):
        assert "other data" in scores[name]["baselines"]
        assert len(scores[name]["resamples"]) > 1
        assert "corners" in scores[name]["variant"]
    assert scores["Variation predictability"]["baselines"]["chance"] == pytest.approx(1 / 10)
    model = Run.open(runs["gan"]).load_generator()
    with torch.no_grad():
        direct = metrics.perceptual_path_length(model, apart, samples=12)
    assert scores["Perceptual path length"]["value"] == pytest.approx(direct.score)
    own = metrics.activeness(model)
    assert scores["Activeness"]["parts"]["activity"] == own.activity.tolist()
    # Random directions share out what the latents do, more or less: a nonlinear generator does not add it up.
    points = scores["Activeness"]["baselines"]
    assert points == metrics_of_random_directions(model)
    assert 0.2 < points["random directions"] / own.score < 5
    assert set(scores["Active latents"]["baselines"]) == {"random directions"}
    assert scores["Perceptual path length"]["baselines"] == {}
    monkeypatch.setattr(pictures_module, "KEPT", 20)  # the others by their moments, which say the same
    streamed = by_name(evaluate(Run.open(runs["gan"]), settings, out=tmp_path))
    assert streamed["Fréchet distance"]["value"] == pytest.approx(scores["Fréchet distance"]["value"], rel=1e-6)
    assert streamed["Fréchet distance"]["interval"] is None
    assert streamed["Fréchet distance"]["baselines"] == pytest.approx(scores["Fréchet distance"]["baselines"], rel=1e-5)
    assert streamed["Kernel distance"]["parts"]["n"] == 20
