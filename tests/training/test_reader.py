"""The reader of factors: it learns, knows what it does not know, and is trained once a data set."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from disentangle.data import load
from disentangle.data.base import FactorGrid
from disentangle.data.memory import MemorySet
from disentangle.errors import UserError
from disentangle.pictures import from_uint8
from disentangle.training import reader as module
from disentangle.training.draws import Draws
from disentangle.training.reader import Labels, Reader, ReaderSettings, factor_reader, worn

FAST = ReaderSettings(pictures=500, test_pictures=200, steps=400, width=4, hidden=32, learning_rate=1e-2, noise=0.02)


class Corners:
    """Pictures of 8×8, a grid: the left half has one of 3 shades, the right half one of 24, the third factor is not
    shown and the fourth has one value only."""

    name, size, channels = "corners", 8, 1
    grid = FactorGrid(("left", "right", "hidden", "none"), (("a",) * 3, ("b",) * 24, ("c",) * 10, ("d",)))
    factor_names, factor_sizes, factor_values = grid.names, grid.sizes, grid.values

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def __len__(self) -> int:
        return len(self.grid)

    def factors(self, indices: Tensor) -> Tensor:
        return self.grid.factors(indices)

    def index(self, factors: Tensor) -> Tensor:
        return self.grid.index(factors)

    def images(self, indices: Tensor) -> Tensor:
        left, right, *_ = self.factors(indices).unbind(1)
        halves = torch.stack([left * 120 + self.shift, right * 11], dim=1).byte()
        return halves.repeat_interleave(4, dim=1)[:, None, None].expand(-1, 1, 8, 8).contiguous()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reader]:
    folder = tmp_path_factory.mktemp("readers")
    reader = factor_reader(Corners(), FAST, folder=folder)
    assert reader is not None
    return folder, reader


def test_it_reads_what_there_is_to_read(trained: tuple[Path, Reader]) -> None:
    _, reader = trained
    assert reader.factors == ("left", "right", "hidden")
    assert reader.network.classes == (3, 8, 10)
    left, right, hidden = reader.readable.tolist()
    assert left > 0.97
    assert right > 0.8
    assert hidden < 0.15
    assert reader.noise[0] < 0.1
    assert (reader.chance >= torch.tensor([1 / 3, 1 / 8, 1 / 10])).all()


class Misread:
    """Reads two factors off one picture's number: the first without fault, of the second it gets number 4 wrong."""

    def read(self, images: Tensor) -> list[Tensor]:
        number = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
        return [torch.eye(2)[number // 3], torch.eye(2)[(number == 4).long()]]


def test_accuracy_chance_and_noise_in_closed_form() -> None:
    data = MemorySet("numbers", torch.arange(7, dtype=torch.uint8).view(7, 1, 1, 1), 1)
    labels = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]]).mT
    accuracy, chance, noise = module._tested(Misread(), data, torch.arange(6), labels, None)  # type: ignore[arg-type]
    assert accuracy.tolist() == pytest.approx([1, 5 / 6])
    assert chance.tolist() == [0.5, 1.0]
    # Of two times three pictures with a value in common the second factor is seen to change among the last three.
    assert noise.tolist() == [0.0, 0.5]


def test_of_an_average_it_says_that_it_does_not_know(trained: tuple[Path, Reader]) -> None:
    _, reader = trained
    data = Corners()
    cells = torch.cartesian_prod(torch.arange(3), torch.tensor([1, 22]), torch.tensor([0]), torch.tensor([0]))
    sharp = from_uint8(data.images(data.index(cells)))
    blended = sharp[::2].lerp(sharp[1::2], 0.5)  # the right halves of both, the left half as it is
    left, right, _ = reader(blended)
    assert left.argmax(1).tolist() == [0, 1, 2]
    assert left.amax(1).min() > 0.7
    assert right.amax(1).max() < 0.6
    assert reader(sharp)[1].amax(1).min() > 0.7


def test_neighbours_of_fine_factors_count_as_one() -> None:
    assert [module._classes(size) for size in (2, 10, 15, 18, 32, 40, 183)] == [2, 10, 5, 9, 8, 10, 8]
    labels = Labels(Corners())
    factors = torch.tensor([[2, 23, 3, 0], [0, 2, 0, 0], [1, 3, 1, 0]])
    assert labels.of(factors).tolist() == [[2, 7, 3], [0, 0, 0], [1, 1, 1]]
    assert labels.targets(factors).nonzero()[:, 1].tolist() == [2, 10, 14, 0, 3, 11, 1, 4, 12]


def test_it_is_trained_once_and_kept_whole(
    trained: tuple[Path, Reader], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, reader = trained
    images = from_uint8(Corners().images(torch.arange(0, 720, 10)))
    monkeypatch.setattr(module, "train_reader", lambda *args: pytest.fail("trained again"))
    again = factor_reader(Corners(), FAST, folder=folder)
    assert again is not None
    assert torch.equal(torch.cat(again(images), dim=1), torch.cat(reader(images), dim=1))
    assert torch.equal(again.readable, reader.readable)
    assert torch.equal(again.noise, reader.noise)
    kept = [path.name for path in folder.iterdir()]
    assert len(kept) == 1
    assert kept[0].startswith("corners-")
    # By default it is in the cache of data sets.
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path))
    (tmp_path / "readers").mkdir()
    (folder / kept[0]).rename(tmp_path / "readers" / kept[0])
    assert factor_reader(Corners(), FAST) is not None
    (tmp_path / "readers" / kept[0]).rename(folder / kept[0])


def test_other_pictures_settings_or_a_damaged_file_are_trained_anew(
    trained: tuple[Path, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, reader = trained
    trainings = []

    def train(*args: object) -> Reader:
        trainings.append(args)
        return reader

    monkeypatch.setattr(module, "train_reader", train)
    factor_reader(Corners(shift=1), FAST, folder=folder)
    factor_reader(Corners(), replace(FAST, seed=1), folder=folder)
    assert len(trainings) == 2
    assert len(list(folder.iterdir())) == 3
    factor_reader(Corners(), FAST, folder=folder)
    assert len(trainings) == 2
    for broken in ("reader.json", "diffusion_pytorch_model.safetensors"):
        path = next(folder.glob(f"*/{broken}"))
        mine = json.loads((path.parent / "reader.json").read_text())["key"]
        settings = ReaderSettings(**mine["settings"])
        shift = 0 if mine["data"] == module._key(Corners(), settings)["data"] else 1
        data = path.read_bytes()
        path.write_bytes(data[:-20] + b"x" * 20)
        before = len(trainings)
        for _ in range(2):
            factor_reader(Corners(shift), settings, folder=folder)
        assert len(trainings) == before + 1, "once, and its place is filled again"


def test_a_stopped_training_leaves_nothing(tmp_path: Path) -> None:
    told: list[float] = []

    def stop(share: float, text: str) -> None:
        told.append(share)
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        factor_reader(Corners(), replace(FAST, steps=10), folder=tmp_path, progress=stop)
    assert told == sorted(told)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_to_costs_only_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert factor_reader(Corners(), replace(FAST, steps=1), folder=tmp_path / "file") is not None
    assert "is not kept" in caplog.text


def test_sets_with_nothing_to_tell_apart_have_none(tmp_path: Path) -> None:
    plain = MemorySet("plain", torch.zeros(5, 1, 8, 8, dtype=torch.uint8), 1)
    assert factor_reader(plain, FAST, folder=tmp_path) is None
    assert factor_reader(load("digits", size=32), FAST, folder=tmp_path) is None
    with pytest.raises(UserError, match="steps of a reader must be at least 1, got 0"):
        factor_reader(plain, replace(FAST, steps=0))


def test_worn_pictures_are_blurred_and_noisy_by_shares() -> None:
    flat = torch.full((200, 1, 8, 8), 0.25)
    assert torch.allclose(worn(flat, 0.0, Draws(0, 1, 200)), flat), "a blur changes nothing of one shade"
    deviation = (worn(flat, 0.2, Draws(0, 1, 200)) - flat).flatten(1).std(1)
    assert deviation.max() < 0.27
    assert float(deviation.mean()) == pytest.approx(0.1, rel=0.15)
    edge = torch.zeros(200, 1, 8, 8)
    edge[..., 4:] = 3.0
    soft = worn(edge, 0.0, Draws(0, 1, 200))[:, 0, 3, 3]  # a third of its neighbours are bright
    assert soft.min() < 0.1
    assert soft.max() > 0.9
    assert soft.max() <= 1.0
