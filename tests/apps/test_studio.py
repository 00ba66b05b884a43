"""Runs as the app opens them: what is cached, changed or refused; and pictures that are always the same."""

import dataclasses
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from disentangle.apps import studio as rooms
from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, picture
from disentangle.directions import Directions, discover
from disentangle.errors import UserError
from disentangle.pictures import to_uint8
from disentangle.training import files
from disentangle.training.files import locked
from disentangle.training.run import Run
from tests.runs import gan_run, vae_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, which no test changes."""
    folder = tmp_path_factory.mktemp("runs")
    gan_run(folder / "grey")
    vae_run(folder / "colour")
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def studio(runs: Path) -> Studio:
    return Studio(runs)


def test_runs_are_found_or_none(studio: Studio, runs: Path, tmp_path: Path) -> None:
    assert studio.names() == ["colour", "grey"]
    assert Studio(runs / "grey").names() == ["grey"]
    assert len(Studio(runs / "grey").open("grey", "subspace").order) == 18
    assert Studio(tmp_path / "nowhere").names() == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="give a run, or a folder of runs"):
        Studio(tmp_path / "file")


@pytest.mark.parametrize("name", ["other", "notes", "", ".", "..", "../runs/grey", "grey/", "/etc", "a\0b", "x" * 300])
def test_only_names_of_runs_open_runs(studio: Studio, name: str) -> None:
    with pytest.raises(UserError, match=r"no run|is no name"):
        studio.open(name)
    with pytest.raises(UserError, match="no run"):
        studio.run(name)


def test_a_link_to_a_run_is_a_run_of_its_own_name(tmp_path: Path) -> None:
    gan_run(tmp_path / "elsewhere" / "s0")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere" / "s0")
    found = Studio(tmp_path / "runs")
    assert found.names() == ["linked"]
    assert found.open("linked").run.name == "linked"
    assert Studio(tmp_path / "runs" / "linked").open("linked").run.name == "linked"


def test_a_view_stays_until_something_changes_on_disk(studio: Studio, runs: Path) -> None:
    first = studio.open("grey", "subspace")
    assert studio.open("grey", "subspace") is first
    first.directions.take([3, 8]).save(runs / "grey" / "directions" / "subspace")
    kept = studio.open("grey", "subspace")
    assert (len(first.directions), len(kept.directions), kept.note) == (18, 2, "")
    assert "found just now" in first.note
    assert kept.generator is first.generator
    assert kept.fingerprint != first.fingerprint
    gan_run(runs / "grey", seed=1, step=20)
    trained = studio.open("grey", "subspace")
    assert (first.step, trained.step) == (10, 20)
    assert trained.weights != first.weights
    assert "belong to other weights" in trained.note
    shutil.rmtree(runs / "grey")
    with pytest.raises(UserError, match="no run 'grey'"):
        studio.open("grey", "subspace")


def test_old_generators_make_room_and_their_views_go_with_them(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = studio.open("grey", "subspace")
    monkeypatch.setattr(rooms, "ROOM", 1)
    colour = studio.open("colour", "subspace")
    assert list(studio._generators.values()) == [colour.generator]
    assert [view for _, view in studio._views.values()] == [colour]
    assert studio.open("grey", "subspace").generator is not grey.generator


def test_views_are_bounded(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "KEPT", 2)
    for method in ("subspace", "weights", "subspace", "random"):
        studio.open("grey", method)
    assert list(studio._views) == [("grey", "subspace"), ("grey", "random")], "what was asked for longest ago went"


def test_a_checkpoint_that_comes_while_a_run_is_opened_is_seen(
    studio: Studio, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Run.load_generator

    def late(run: Run, **options: Any) -> Any:
        monkeypatch.setattr(Run, "load_generator", load)
        gan_run(runs / "grey", seed=1, step=20)
        return load(run, **options)

    monkeypatch.setattr(Run, "load_generator", late)
    first = studio.open("grey", "weights")
    run = Run.open(runs / "grey")
    assert (first.step, first.weights) == (10, run.weights_hash(10))
    assert first.directions.weights == first.weights
    old = run.load_generator(step=10)
    latents = old.sample_latents(1, torch.Generator().manual_seed(0))
    assert torch.equal(first.generator.synthesize(latents), old.synthesize(latents))
    second = studio.open("grey", "weights")
    assert (second.step, second.weights) == (20, run.weights_hash(20))


def test_a_folder_that_somebody_holds_stops_nobody_else(
    studio: Studio, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.5)
    view = studio.open("grey", "weights")
    view.directions.save(runs / "grey" / "directions" / "weights")
    view = studio.open("grey", "weights")
    with locked(runs / "grey" / "directions" / "weights"):
        refused: list[str] = []

        def name() -> None:
            try:
                studio.rename(view, 1, "x", "")
            except UserError as error:
                refused.append(str(error))

        namer = threading.Thread(target=name)
        namer.start()
        assert studio.open("colour").run.name == "colour"
        assert namer.is_alive()
        namer.join()
    assert "another process is writing to" in refused[0]
    assert studio.rename(view, 1, "x", "").directions.names[1] == "x"


def test_what_is_open_waits_for_nothing(studio: Studio) -> None:
    grey = studio.open("grey", "subspace")
    with studio._opening:
        assert studio.opened("grey", "subspace") is grey is studio.open("grey", "subspace")
        assert studio.opened("colour") is None


def test_directions_that_are_not_there_are_named_with_what_finds_them(studio: Studio, runs: Path) -> None:
    with pytest.raises(UserError, match=r"no directions 'jacobian' yet.*disentangle discover .*--method jacobian"):
        studio.open("grey", "jacobian")
    with pytest.raises(UserError, match=r"no directions 'mine'.*none yet"):
        studio.open("grey", "mine")
    (runs / "grey" / "directions" / "weights").mkdir(parents=True)
    (runs / "grey" / "directions" / "weights" / "directions.safetensors").write_bytes(b"")
    assert "could not be read" in studio.open("grey", "weights").note
    other = Run.open(runs / "colour")
    found: Directions = discover(other.load_generator(), "subspace", weights=other.weights_hash())
    found.save(runs / "grey" / "directions" / "mine")
    with pytest.raises(UserError, match="belong to other weights"):
        studio.open("grey", "mine")


def test_a_damaged_run_is_named(studio: Studio, runs: Path) -> None:
    next((runs / "grey").glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    with pytest.raises(UserError, match=r"grey.*damaged"):
        studio.open("grey")
    assert studio.open("colour").run.name == "colour"


def test_a_name_is_kept_with_the_run_and_moves_nothing(studio: Studio, runs: Path) -> None:
    view = studio.open("grey", "weights")
    edit = Edit("grey", "weights", ((4, 2.0),))
    before = picture(view, edit)
    named = studio.rename(view, 4, "  <b>size</b> ", "bigger\nto the right")
    assert named.directions.names[4] == "<b>size</b>"
    assert named.directions.notes[4] == "bigger\nto the right"
    assert (named.fingerprint, named.note) == (view.fingerprint, "")
    assert torch.equal(picture(named, edit), before)
    again = Studio(runs).open("grey", "weights").directions
    assert (again.names, again.notes) == (named.directions.names, named.directions.notes)
    for k, name, note, said in (
        (0, " 17", "", "must not be a number"),
        (18, "x", "", "no direction 18"),
        (-1, "x", "", "no direction -1"),
        (0, "x" * 61, "", "60 characters"),
        (0, "x\ny", "", "60 characters"),
        (0, "", "x" * 501, "a note has 500"),
        (0, "<b>Size</b>", "", "called '<b>Size</b>' already"),
    ):
        with pytest.raises(UserError, match=said):
            studio.rename(named, k, name, note)
    view.directions.take([1]).save(runs / "grey" / "directions" / "weights")
    with pytest.raises(UserError, match="have changed since"):
        studio.rename(named, 4, "y", "")


def test_a_picture_is_of_its_edit_alone(studio: Studio) -> None:
    view = studio.open("grey", "weights")
    edit = Edit("grey", "weights", ((2, 1.5), (7, -2.0)), seed=3, truncation=0.7)
    start = 0.7 * view.generator.sample_latents(1, torch.Generator().manual_seed(3))
    steps = 1.5 * view.directions.sigma[2] * view.directions.vectors[2]
    steps = steps - 2.0 * view.directions.sigma[7] * view.directions.vectors[7]
    expected = to_uint8(view.generator.synthesize(start + steps))[0]
    found = picture(view, edit)
    assert found.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1  # the order of the sums
    assert (found.int() - picture(view, Edit("grey", "weights", seed=3, truncation=0.7)).int()).abs().max() > 5
    with pytest.raises(UserError, match="no direction 18: weights of grey has 18"):
        picture(view, Edit("grey", "weights", ((18, 1.0),)))
    assert torch.equal(picture(view, dataclasses.replace(edit, weights=view.weights[:8])), found)
    with pytest.raises(UserError, match="made with other weights"):
        picture(view, dataclasses.replace(edit, weights="0" * 8 if view.weights[0] != "0" else "1"))


def test_an_edit_says_which_directions_it_means(studio: Studio, runs: Path) -> None:
    fresh = studio.open("grey", "weights")
    assert fresh.basis == "", "the method and the weights say what they are"
    edit = Edit("grey", "weights", ((2, 1.5),), seed=3, basis=fresh.directions.fingerprint[:12])
    shown = picture(fresh, edit)
    folder = runs / "grey" / "directions" / "weights"
    fresh.directions.rename(2, "smile").save(folder)
    kept = studio.open("grey", "weights")
    assert kept.basis == edit.basis, "a name changes nothing"
    assert torch.equal(picture(kept, edit), shown)
    for other in ({"sigma": 2 * fresh.directions.sigma}, {"vectors": -fresh.directions.vectors}):
        dataclasses.replace(fresh.directions, **other).save(folder)
        view = studio.open("grey", "weights")
        with pytest.raises(UserError, match=r"made with other directions \(" + edit.basis):
            picture(view, edit)
        assert not torch.equal(picture(view, dataclasses.replace(edit, basis="")), shown)


@pytest.mark.parametrize("threads", [1, 2])
def test_pictures_of_many_threads_are_the_same_to_the_bit(studio: Studio, threads: int) -> None:
    view, before = studio.open("colour", "subspace"), torch.get_num_threads()
    edits = [Edit("colour", "subspace", ((0, 0.1 * i),), seed=i) for i in range(12)]
    alone = [picture(view, edit) for edit in edits]
    wrong: list[int] = []

    def draw() -> None:
        torch.set_num_threads(threads)
        wrong.extend(i for i, edit in enumerate(edits) if not torch.equal(picture(view, edit), alone[i]))
        assert torch.get_num_threads() == threads

    workers = [threading.Thread(target=draw) for _ in range(4)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        torch.set_num_threads(before)
    assert wrong == []
