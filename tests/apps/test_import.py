"""``disentangle import``: a published pipeline becomes a run that everything else opens."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from disentangle.apps.cli import main
from disentangle.apps.cli import run as run_command
from disentangle.apps.edit import Edit
from disentangle.apps.evaluation import pictures
from disentangle.apps.studio import Studio, picture
from disentangle.errors import UserError
from disentangle.models import HSpaceDiffusion
from disentangle.training.draws import seeded
from disentangle.training.files import locked
from disentangle.training.run import Run

OPTIONS = ("--codes", "2", "--steps", "2", "--pictures", "6", "--data", "digits", "--seed", "4", "--device", "cpu")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline's folder, as diffusers writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=32,
            in_channels=1,
            out_channels=1,
            block_out_channels=(4, 8),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=2,
        )
    folder = tmp_path_factory.mktemp("published") / "ddpm-digits"
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    return folder


def test_a_published_pipeline_is_discovered_scored_steered_and_trained_further(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    main(["import", str(pipeline), "--out", str(path), *OPTIONS])
    run = Run.open(path)
    assert (run.kind, run.step, run.name) == ("diffusion", 0, "run")
    model = run.load_generator()
    expected = HSpaceDiffusion.from_pipeline(pipeline, codes=2, steps=2, fitted_to=6)
    expected.fit(seeded(4, "fit"))
    assert torch.equal(model.h_space.basis, expected.h_space.basis)
    assert (model.h_space.scale > 0).all()

    main(["discover", str(path), "--no-steps", "--no-factors", "--seeds", "0"])
    assert (path / "directions/weights/strips.png").exists()
    view = Studio(path).open("run", "auto")
    moved, still = (picture(view, Edit("run", view.name, moves)) for moves in (((view.order[0], 3.0),), ()))
    assert not torch.equal(moved, still)
    assert moved.shape == (1, 32, 32)
    features = type("Means", (), {"name": "means", "__call__": lambda self, images: images.mean(3).flatten(1)})
    monkeypatch.setattr(pictures, "load_features", lambda name, device=None: features())
    main(["evaluate", str(path), "--samples", "8", "--device", "cpu"])
    assert json.loads((path / "report.json").read_text())["kind"] == "diffusion"

    main(["train", "--resume", str(path), "--steps", "2", "--device", "cpu"])
    assert Run.open(path).step == 2
    trained = Run.open(path).load_generator(ema=False).unet.conv_out.weight
    change = (trained - expected.unet.conv_out.weight).abs().max()
    assert 0 < change < 1e-4, "training goes on from the published weights"


def test_a_folder_that_another_process_fills_is_left_to_it(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with locked(out), pytest.raises(UserError, match=f"another process is training in {out}"):
        run_command(["import", str(pipeline), "--out", str(out), *OPTIONS])
    assert list(out.iterdir()) == []


def test_what_cannot_be_imported_leaves_nothing_behind(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for words, options in (
        ("no folder", [str(tmp_path / "away"), *OPTIONS]),
        ("unknown data set 'digit': did you mean digits", [str(pipeline), "--data", "digit"]),
        ("2000 codes", [str(pipeline), "--codes", "2000"]),
    ):
        with pytest.raises(UserError, match=words):
            run_command(["import", *options, "--out", str(out)])
        assert not out.exists()
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(UserError, match="exists and is not empty"):
        run_command(["import", str(pipeline), "--out", str(out), *OPTIONS])
    assert [p.name for p in out.iterdir()] == ["mine"]


def test_training_may_begin_from_published_weights(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pipeline.parent)
    few = ["--model.fitted-to", "6", "--model.codes", "2", "--model.steps", "2", "--data.pictures", "40"]
    changed = ["--data.name", "digits", "--model.weights", pipeline.name, "--batch-size", "4", "--steps", "1"]
    main(["train", "fashion-diffusion", *few, *changed, "--out", str(tmp_path / "run"), "--device", "cpu"])
    monkeypatch.chdir(tmp_path)
    main(["train", "--resume", "run", "--steps", "2", "--device", "cpu"])
    run = Run.open("run")
    assert run.step == 2
    assert run.recipe.model.weights == pipeline
    trained = run.load_generator(ema=False).unet.state_dict()
    published = HSpaceDiffusion.from_pipeline(pipeline, codes=2, steps=2, fitted_to=6).unet.state_dict()
    changes = [(trained[name] - published[name]).abs().max() for name in published]
    assert 0 < max(changes) < 0.01
    with pytest.raises(UserError, match="makes pictures of 32 pixels and 1 channels, the data have 32 and 3"):
        run_command(["train", "scenes-diffusion", "--model.weights", str(pipeline), "--out", "other"])
    assert not (tmp_path / "other").exists()
