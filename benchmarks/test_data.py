"""Pictures per second of the data sets, on one thread; and of a folder, on as many as there are.

Run with ``OMP_NUM_THREADS=1 python -m pytest benchmarks/test_data.py``. The goals for what is generated are 5,000
sprites, 150 scenes and 5,000 faces of 64×64 a second. The first pictures take what all others then share; they are
timed by themselves.

The goals for what is read are three times what a training uses on two cores: 64 pictures a step, which takes a small
VAE 50 milliseconds and EigenGAN at 64×64 a second. Sets of up to 2 GB are in memory by then, so that the former holds
for these; a folder, which may be larger, must keep up with the latter while each picture is decoded anew.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from disentangle.data import ImageSet, dsprites, folder, load, shapes3d, unpacked
from disentangle.training.pictures import TrainingPictures
from disentangle.training.recipe import DataConfig

BATCH = 512
SMALL_VAE = 3 * 64 / 0.05
EIGENGAN = 3 * 64 / 1.0
GENERATED = [("sprites", 5_000), ("scenes", 150), ("faces", 5_000)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measure(benchmark: BenchmarkFixture, data: ImageSet, goal: float, batch: int = BATCH) -> None:
    """Time random batches, and compare their rate with ``goal``."""
    generator = torch.Generator().manual_seed(0)

    def setup() -> tuple[tuple[torch.Tensor], dict[str, object]]:
        return (torch.randint(len(data), (batch,), generator=generator),), {}

    benchmark.pedantic(data.images, setup=setup, rounds=10, warmup_rounds=1)
    rate = batch / benchmark.stats.stats.median
    benchmark.extra_info["pictures per second"] = rate
    assert rate > goal


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("name", "goal"), GENERATED)
def test_rate(benchmark: BenchmarkFixture, name: str, goal: int, size: int) -> None:
    measure(benchmark, load(name, size=size), goal)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(("name", "goal"), GENERATED)
def test_rate_of_the_first_pictures(benchmark: BenchmarkFixture, name: str, goal: int, size: int) -> None:
    count = 8 * BATCH
    batches = torch.randint(470_000, (count,), generator=torch.Generator().manual_seed(0)).split(BATCH)

    def from_nothing() -> None:
        data = load(name, size=size)
        for batch in batches:
            data.images(batch)

    benchmark.pedantic(from_nothing, rounds=2)
    benchmark.extra_info["pictures per second"] = count / benchmark.stats.stats.min
    assert count / benchmark.stats.stats.min > min(goal, 2_000)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Scenes, as they are in the published file: ``(7500, 64, 64, 3)``."""
    scenes = load("scenes")
    chosen = torch.arange(0, 480_000, 64)
    return torch.cat([scenes.images(part) for part in chosen.split(500)]).permute(0, 2, 3, 1).numpy()


@pytest.fixture
def unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size, a file is unpacked to the disk."""
    monkeypatch.setattr(unpacked, "IN_MEMORY", 0)


def write_shapes3d(path: Path, pictures: np.ndarray, chunks: tuple[int, ...]) -> None:
    sizes = (10, 10, 5, 5, 1, 3)
    labels = np.stack(np.unravel_index(np.arange(len(pictures)), sizes), axis=1).astype(float)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pictures, chunks=chunks, compression="gzip")
        file["labels"] = labels


@pytest.mark.parametrize("chunks", [(1, 64, 64, 3), (7_500, 4, 4, 1)], ids=["a picture a chunk", "h5py's chunks"])
@pytest.mark.parametrize("size", [32, 64])
def test_rate_of_an_h5_file(
    benchmark: BenchmarkFixture, pictures: np.ndarray, tmp_path: Path, unpacks: None, chunks: tuple[int, ...], size: int
) -> None:
    write_shapes3d(tmp_path / shapes3d.FILE.name, pictures, chunks)
    measure(benchmark, load("shapes3d", root=tmp_path, size=size), EIGENGAN if chunks[0] == 1 else SMALL_VAE)


def test_unpacking_an_h5_file(benchmark: BenchmarkFixture, pictures: np.ndarray, tmp_path: Path, unpacks: None) -> None:
    path = tmp_path / shapes3d.FILE.name
    write_shapes3d(path, pictures, (7_500, 4, 4, 1))

    def setup() -> None:
        for left in tmp_path.glob(".*unpacked"):
            left.unlink()

    benchmark.pedantic(lambda: load("shapes3d", root=tmp_path), setup=setup, rounds=2)
    benchmark.extra_info["pictures per second"] = len(pictures) / benchmark.stats.stats.min


@pytest.mark.parametrize("size", [32, 64])
def test_rate_of_bits(benchmark: BenchmarkFixture, tmp_path: Path, unpacks: None, size: int) -> None:
    sizes = (1, 3, 6, 10, 8, 8)
    classes = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    sprites = load("sprites").images(torch.arange(len(classes)) * 60)[:, 0].numpy() > 127
    np.savez_compressed(
        tmp_path / dsprites.FILE.name,
        imgs=sprites.astype(np.uint8),
        latents_classes=classes,
        latents_values=classes.astype(float),
    )
    measure(benchmark, load("dsprites", root=tmp_path, size=size), SMALL_VAE)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of 256×256, as the sets of photographs have them."""
    root = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for i in range(256):
        rough = random.integers(0, 256, (32, 32, 3), np.uint8)
        picture = Image.fromarray(rough).resize((256, 256), Image.Resampling.BICUBIC)
        picture.save(root / f"{i:03}.jpg", quality=90)
    return root


@pytest.mark.parametrize("size", [64, 128, 256])
def test_rate_of_a_folder(
    benchmark: BenchmarkFixture, photographs: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    measure(benchmark, load("folder", root=photographs, size=size), EIGENGAN, batch=64)


def test_rate_in_memory(benchmark: BenchmarkFixture, photographs: Path) -> None:
    measure(benchmark, load("folder", root=photographs), SMALL_VAE)


def test_rate_of_training_pictures(benchmark: BenchmarkFixture) -> None:
    """As the loop gets them: in memory, as floats."""
    data = TrainingPictures(load("fashion-mnist", size=64), DataConfig(pictures=20_000), seed=0)
    positions = torch.randint(len(data), (64,), generator=torch.Generator().manual_seed(0))
    benchmark.pedantic(data.batch, (positions, torch.device("cpu"), torch.float32), rounds=20, warmup_rounds=1)
    rate = 64 / benchmark.stats.stats.median
    benchmark.extra_info["pictures per second"] = rate
    assert rate > SMALL_VAE
