"""An encoder is trained on generated pictures: it finds what can be found, says what it cannot, and survives a kill."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import gan_run
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.models import LatentEncoder
from disentangle.pictures import from_uint8, to_uint8
from disentangle.training import generated
from disentangle.training.encode import EncoderTraining, regression_error
from disentangle.training.encoder import EncoderRecord, EncoderSettings
from disentangle.training.generated import (
    Endless,
    Pool,
    code_latents,
    make_pictures,
    rounded,
    stored_pictures,
)
from disentangle.training.run import Run

CPU = torch.device("cpu")
SMALL = EncoderSettings(steps=9, batch_size=4, width=2, test_pictures=20)


class Plain(nn.Module):
    """Pictures that are linear in the latents: the first is noise, the last shows nowhere, the others are codes."""

    latent_size = 5

    def __init__(self) -> None:
        super().__init__()
        maps = torch.randn(self.latent_size, 64, generator=torch.Generator().manual_seed(0))
        maps = torch.linalg.qr(maps.mT).Q.mT
        maps[0] *= 0.02
        maps[-1] = 0
        self.maps = nn.Parameter(maps)
        self.made = 0

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents: Tensor) -> Tensor:
        self.made += len(latents)
        return (0.6 * latents @ self.maps).unflatten(1, (1, 8, 8)).clamp(-1, 1)

    def projections(self) -> tuple[Projection, ...]:
        return (
            Projection("far", "maps", slice(3, None), self.maps.detach),
            Projection("near", "maps", slice(1, 4), self.maps.detach),
        )


def training(path: Path, settings: EncoderSettings, generator: nn.Module | None = None, every: int = 3) -> object:
    return EncoderTraining(Run(path, {}), generator or Plain(), "f" * 64, 7, settings, CPU, save_every=every)


def weights(folder: Path) -> dict[str, bytes]:
    newest = max((folder / "checkpoints").iterdir())
    return {str(p.relative_to(newest)): p.read_bytes() for p in sorted(newest.rglob("*")) if p.is_file()}


def test_codes_are_what_a_projection_sees_and_noise_is_not() -> None:
    assert code_latents(Plain()) == (
        (1, 2, 3, 4),
        ("near, latent 1", "near, latent 2", "far, latent 1", "far, latent 2"),
    )


def test_a_known_inverse_is_found_and_what_does_not_show_is_not(tmp_path: Path) -> None:
    generator = Plain()
    settings = EncoderSettings(steps=300, width=8, learning_rate=3e-3, test_pictures=1_000)
    record = training(tmp_path, settings, generator, every=300).train()
    assert (record.step, record.latents, record.checkpoint) == (300, (1, 2, 3, 4), 7)
    assert min(record.r2[:3]) > 0.97
    assert -0.05 < record.r2[3] < 0.01  # 1,000 pictures: chance alone makes it about -1/1000
    assert record.mse[3] == pytest.approx(1, abs=0.15)
    assert record.mean_r2 == pytest.approx(sum(record.r2) / 4)
    # What it says of itself is what one finds, with other pictures.
    network = LatentEncoder.from_pretrained(tmp_path / "checkpoints/00000300/encoder", use_safetensors=True)
    r2, mse = regression_error(network, *make_pictures(generator, 1_000, ("other",), record.latents))
    assert r2.tolist() == pytest.approx(record.r2, abs=0.03)
    assert mse.tolist() == pytest.approx(record.mse, abs=0.12)


def test_the_regression_error_has_a_closed_form() -> None:
    class Answers(nn.Module):
        def encode(self, images: Tensor) -> Tensor:
            return answers[int(images[0, 0, 0, 0] > 0) * 250 :][: len(images)]

    codes = torch.tensor([[1.0, 2.0, 5.0], [-1.0, 4.0, 5.0]]).repeat(200, 1)
    answers = codes + torch.tensor([0.5, 0.0, 1.0]) * torch.tensor([[1.0], [-1.0]]).repeat(200, 1)
    answers[:, 1] = 3.0  # the mean
    images = torch.zeros(400, 1, 1, 1, dtype=torch.uint8)
    images[250:] = 255  # the second batch
    r2, mse = regression_error(Answers(), images, codes)
    assert r2.tolist() == [0.75, 0.0, 0.0]
    assert mse.tolist() == [0.25, 1.0, 1.0]


def test_pictures_are_seen_as_files_hold_them() -> None:
    images = torch.linspace(-1.2, 1.2, 2_000).view(-1, 1, 1, 1)
    assert torch.equal(rounded(images), from_uint8(to_uint8(images)))
    generator = Plain()
    pictures, codes = Endless(generator, (1, 2), 8, seed=3).batch(5)
    again, other = Endless(generator, (1, 2), 8, seed=3).batch(5), Endless(generator, (1, 2), 8, seed=3).batch(6)
    assert torch.equal(pictures, again[0])
    assert not torch.equal(codes, other[1])
    assert torch.equal(pictures, from_uint8(to_uint8(pictures)))


def test_a_pool_is_made_once_and_made_again_for_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "CHUNK", 8)
    generator = Plain()
    said: list[int] = []
    pictures, codes = stored_pictures(generator, 20, (0, "pool"), (1, 2), tmp_path, "a", said.append)
    assert (generator.made, said) == (20, [8, 16, 20])
    assert (pictures.shape, pictures.dtype, codes.shape) == ((20, 1, 8, 8), torch.uint8, (20, 2))
    assert len(pictures.flatten(1).unique(dim=0)) == 20
    assert torch.equal(stored_pictures(generator, 20, (0, "pool"), (1, 2), tmp_path, "a")[0], pictures)
    assert generator.made == 20
    (tmp_path / "00000008.safetensors").write_bytes(b"half of a file")
    assert torch.equal(stored_pictures(generator, 20, (0, "pool"), (1, 2), tmp_path, "a")[0], pictures)
    assert generator.made == 28
    stored_pictures(generator, 20, (0, "pool"), (1, 2), tmp_path, "b")
    stored_pictures(generator, 20, (1, "pool"), (1, 2), tmp_path, "b")
    assert generator.made == 68
    # Every picture is seen once before one is seen twice, with its own codes.
    pool = Pool(pictures, codes, 10, 0, CPU)
    (first, mine), (second, others) = pool.batch(1), pool.batch(2)
    assert torch.cat([mine, others]).sort(0).values.equal(codes.sort(0).values)
    place = int((codes == mine[3]).all(1).nonzero())
    assert torch.equal(first[3], from_uint8(pictures[place]))
    assert not torch.equal(first, second)


def test_a_pool_is_trained_on_and_not_tested_on(tmp_path: Path) -> None:
    generator = Plain()
    record = training(tmp_path, replace(SMALL, pool=6), generator).train()
    assert generator.made == 20 + 6
    assert record.settings.pool == 6
    training(tmp_path, replace(SMALL, pool=6, steps=12), generator).train()
    assert generator.made == 20 + 6


DEADLY = """
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[1])
sys.path[:0] = sys.argv[2].split(":")
from test_encode import SMALL, training
for moment in map(int, sys.argv[3:]):
    child = os.fork()
    if child:
        died = os.WTERMSIG(os.waitpid(child, 0)[1])
        print(died, *sorted(int(p.name) for p in folder.glob("checkpoints/[0-9]*")))
        continue
    def deadly(original):
        def call(*arguments, **options):
            global moment
            moment -= 1
            if moment == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)
        return call
    os.fsync, pathlib.Path.rename = deadly(os.fsync), deadly(pathlib.Path.rename)
    training(folder, SMALL, every=2).train()
    os._exit(0)
"""
"""Trains, and kills itself at its n-th call of what makes files last, for each n; prints the checkpoints after each."""


def test_killed_and_gone_on_with_equals_never_stopped(tmp_path: Path, root: Path) -> None:
    training(tmp_path / "whole", SMALL, every=2).train()
    expected = weights(tmp_path / "whole")
    assert set(expected) == {
        "encoder.json", "trainer.json", "trainer.safetensors", "encoder/config.json",
        "encoder/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    killed = tmp_path / "killed"
    here = f"{root}:{root / 'tests'}:{Path(__file__).parent}"
    # In the first checkpoint, in the one after the next, and before the oldest of three is removed.
    words = [sys.executable, "-c", DEADLY, str(killed), here, "4", "14", "19"]
    process = subprocess.run(words, capture_output=True, text=True, env=os.environ)
    kill = int(signal.SIGKILL)
    assert process.stdout.splitlines() == [f"{kill}", f"{kill} 2", f"{kill} 2 4 6"], process.stderr
    assert EncoderRecord.read(killed / "checkpoints/00000006/encoder.json").step == 6
    training(killed, SMALL, every=2).train()
    assert weights(killed) == expected
    assert [p.name for p in killed.rglob(".*")] == []


def test_a_diverged_training_keeps_what_there_was(tmp_path: Path) -> None:
    training(tmp_path, SMALL).train()
    before = weights(tmp_path)
    with pytest.raises(UserError, match=r"diverged by step 1\d.*--learning-rate"):
        training(tmp_path, replace(SMALL, steps=20, learning_rate=1e30)).train()
    assert weights(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "--steps must be at least 1, got 0"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"pool": 3}, "--pool must be 0 or at least the batch of 4, got 3"),
        ({"test_pictures": 1}, "--test-pictures must be at least 2"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"width": 0}, "at least 1"),
        ({"seed": -1}, "seed must lie between"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        training(tmp_path, replace(SMALL, **settings)).train()


def test_an_encoder_belongs_to_its_weights(tmp_path: Path) -> None:
    run = gan_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"has no encoder: `disentangle encode .*run` trains one"):
        run.load_encoder()
    made = EncoderTraining(run.encoder, run.load_generator(), run.weights_hash(), 10, SMALL, CPU).train()
    assert made == run.encoder_record()
    assert made.latents == tuple(range(18))  # the codes of three layers, and not the 8 numbers of noise
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = run.load_encoder().encode(images)
    assert (codes.shape, codes.dtype) == ((3, 18), torch.float32)
    old = run.weights_hash()
    gan_run(run.path, seed=1, step=20)
    with pytest.raises(UserError) as error:
        run.load_encoder()
    for word in (old[:12], run.weights_hash()[:12], "step 10", "step 20", f"disentangle encode {run.path} --restart"):
        assert word in str(error.value)
    assert torch.equal(run.load_encoder(step=10).encode(images), codes)


@pytest.mark.parametrize("damage", ["{", "{}", '{"step": 1}', "[]"])
def test_a_damaged_record_is_said_to_be(tmp_path: Path, damage: str) -> None:
    training(tmp_path, replace(SMALL, steps=1)).train()
    path = tmp_path / "checkpoints/00000001/encoder.json"
    assert json.loads(path.read_text())["mean_r2"] == EncoderRecord.read(path).mean_r2
    path.write_text(damage)
    with pytest.raises(UserError, match=r"encoder.json is damaged"):
        EncoderRecord.read(path)
