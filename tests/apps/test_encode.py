"""``disentangle encode``, and what ``disentangle evaluate`` makes of the encoder that it trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import LinearGenerator
from runs import gan_run, recorded_run, vae_run
from torch import Tensor, nn

from disentangle.apps.cli import main
from disentangle.apps.encode import POOLS, beginning, going_on, table
from disentangle.apps.evaluate import evaluate
from disentangle.apps.evaluation import pictures as pictures_module
from disentangle.apps.evaluation.codes import Coder, read_codes, reconstruct, relate
from disentangle.apps.evaluation.score import quiet
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.team import Team
from disentangle.errors import UserError
from disentangle.metrics import mig
from disentangle.pictures import to_uint8
from disentangle.training.encoder import EncoderRecord, EncoderSettings
from disentangle.training.recipe import ClassifierLoss, ResNetConfig
from disentangle.training.run import Run

CPU = torch.device("cpu")
FEW = Settings(train_samples=150, test_samples=80, samples=24)
SHORT = ["--steps", "4", "--batch-size", "4", "--width", "2", "--test-pictures", "30", "--device", "cpu"]


class Corners:
    """Cheap features: the means of a picture's sixteen parts."""

    name = "corners"

    def __call__(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@pytest.fixture
def gan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(pictures_module, "load_features", lambda name, device=None: Corners())
    return gan_run(tmp_path / "gan")


def by_name(report: dict[str, Any]) -> dict[str, Any]:
    return {score["name"]: score for score in report["scores"]}


def reasons(report: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["reason"] for entry in report["not_applicable"]}


def test_a_gan_gets_the_scores_of_codes_from_its_encoder(gan: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = evaluate(gan, FEW)
    assert set(reasons(before)) == {"MIG", "DCI"}
    assert f"`disentangle encode {gan.path}` trains one" in reasons(before)["MIG"]
    assert before["encoder"] is None

    main(["encode", str(gan.path), *SHORT])
    record = gan.encoder_record()
    printed = capsys.readouterr().out
    for name, share, error in zip(record.names, record.r2, record.mse, strict=True):
        assert any(line.split() == [*name.split(), f"{share:.3f}", f"{error:.3f}"] for line in printed.splitlines())
    assert f"{record.mean_r2:.3f}" in printed

    report = evaluate(gan, FEW)
    scores = by_name(report)
    assert list(scores) == [
        "MIG", "DCI disentanglement", "DCI completeness", "DCI informativeness", "Fréchet distance", "Regression error",
    ]  # fmt: skip
    arrays = read_codes(gan.load_encoder(), gan.data(), FEW, CPU, Team())
    with quiet():
        direct = mig(arrays["codes"][:150], arrays["factors"][:150])
    assert scores["MIG"]["value"] == direct.score
    assert scores["Regression error"]["value"] == record.mean_mse
    assert scores["Regression error"]["parts"]["r2"] == list(record.r2)
    assert scores["Regression error"]["baselines"] == {"prior's mean": 1.0}
    assert report["encoder"] == json.loads((gan.encoder.checkpoint_path(4) / "encoder.json").read_text())
    # The generator's noise has no code, so that nothing can be put together again.
    assert "8 of the 26 are noise" in reasons(report)["Reconstruction error"]
    assert "trained for 4 steps" in report["notes"][0]
    assert sorted(report["codes"]["names"]) == sorted(f"layer {i} · #{j}" for i in (1, 2, 3) for j in range(1, 7))
    page = (gan.path / "report.html").read_text()
    assert "How well the codes can be read" in page
    assert f"{record.r2[3]:.2f}".replace("-", "−") in page
    assert "Which code knows which factor" in page


def test_an_encoder_of_other_weights_is_not_used(gan: Run) -> None:
    main(["encode", str(gan.path), *SHORT])
    gan_run(gan.path, seed=1, step=20)
    report = evaluate(gan, FEW)
    assert list(by_name(report)) == ["Fréchet distance"]
    assert set(reasons(report)) == {"MIG", "DCI", "Regression error"}
    assert all("belongs to other weights" in reason and "--restart" in reason for reason in reasons(report).values())
    assert "MIG" in by_name(evaluate(gan, replace(FEW, checkpoint=10)))
    with pytest.raises(SystemExit):
        main(["encode", str(gan.path), *SHORT])
    assert gan.encoder_record(10).checkpoint == 10
    main(["encode", str(gan.path), *SHORT, "--restart"])
    assert (gan.encoder_record().checkpoint, gan.encoder.checkpoints()) == (20, [4])


def test_it_goes_on_with_what_it_was_begun_with(gan: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(["encode", str(gan.path), *SHORT])
    main(["encode", str(gan.path), "--steps", "6", "--device", "cpu"])
    record = gan.encoder_record()
    assert (record.step, record.settings.width, record.settings.batch_size) == (6, 2, 4)
    newest = gan.encoder.checkpoint_path(6) / "encoder.json"
    written = newest.stat().st_mtime_ns
    main(["encode", str(gan.path)])
    assert newest.stat().st_mtime_ns == written
    for words, message in (
        (["--width", "4"], "begun with --width 2, and cannot go on with 4"),
        (["--steps", "5"], "at step 6 already, --steps 5 is behind it"),
        (["--checkpoint", "11"], "no checkpoint of step 11: possible: 10"),
        (["--restart", "--pool", "2"], "--pool must be 0 or at least the batch of 64, got 2"),
    ):
        with pytest.raises(SystemExit):
            main(["encode", str(gan.path), *words])
        assert message in capsys.readouterr().err
    assert gan.encoder.checkpoints() == [4, 6]


def test_a_run_that_needs_none_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vae = vae_run(tmp_path / "vae")
    main(["encode", str(vae.path)])
    printed = capsys.readouterr().out
    assert "has an encoder of its own" in printed
    assert printed.count("\n") == 1
    assert not vae.encoder.path.exists()
    model = {"model": ResNetConfig(depth="small"), "loss": ClassifierLoss()}
    classifier = recorded_run(tmp_path / "classifier", settings=model)
    with pytest.raises(SystemExit):
        main(["encode", str(classifier.path)])
    assert "is a classifier, which has no latents" in capsys.readouterr().err


def test_slow_generators_get_a_pool() -> None:
    assert beginning("gan", "cpu", {}).pool == 0
    assert beginning("diffusion", "cpu", {}).pool == POOLS["diffusion"] > 0
    assert beginning("diffusion", "cpu", {"pool": 0, "steps": 5}) == replace(beginning("gan", "cpu", {}), steps=5)


def record(d: int) -> EncoderRecord:
    names = tuple(f"layer {j}" for j in range(d))
    settings = EncoderSettings()
    return EncoderRecord("a" * 64, 1, 2, settings, tuple(range(d)), names, (0.5,) * d, (0.5,) * d)


def test_a_long_table_is_cut_and_an_unfinished_training_may_get_longer_or_shorter() -> None:
    assert table(record(3)).row_count == 4
    assert table(record(500)).row_count == 60 + 2
    assert going_on(record(3), {"steps": 10}).steps == 10
    with pytest.raises(UserError, match=r"--learning-rate 0.001, and cannot go on with 0.1"):
        going_on(record(3), {"learning_rate": 0.1})


def test_codes_in_another_order_are_put_into_the_latents_places() -> None:
    model = LinearGenerator(rank=2, layers=2)
    pictures = model.synthesize(model.sample_latents(5, torch.Generator().manual_seed(0)))
    inverse = torch.linalg.pinv(
        model.synthesize(torch.eye(4)).flatten(1) - model.synthesize(torch.zeros(1, 4)).flatten(1)
    )

    class Shuffled(nn.Module):
        def encode(self, images: Tensor) -> Tensor:
            return (images.flatten(1) @ inverse)[:, [2, 0, 3, 1]]

    images = to_uint8(pictures)
    for latents, right in (((2, 0, 3, 1), True), ((0, 1, 2, 3), False)):
        coder = Coder(Shuffled(), latents)
        assert coder.inverts(model)
        error = (reconstruct(model, coder, images, CPU).float() - images.float()).abs().max()
        assert (error <= 1) == right
    assert not Coder(Shuffled(), (0, 1, 3)).inverts(model)


def test_a_direction_that_mixes_codes_names_none() -> None:
    factors = np.stack([np.arange(400) % 4, np.arange(400) // 4 % 4], axis=1)
    with quiet():
        gap = mig(np.stack([np.zeros(400), factors[:, 0]], axis=1), factors)
    directions = {
        "all": [{"name": "mixed", "latent": None}, {"name": "noise", "latent": 3}, {"name": "own", "latent": 9}]
    }
    codes: dict[str, Any] = {"active": [True, True]}
    relate(codes, directions, gap, ["a", "b"], latents=(4, 9))
    assert codes["names"] == ["code 0", "own"]
    assert [entry.get("factor") for entry in directions["all"]] == [None, None, "a"]
