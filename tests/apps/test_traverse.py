"""The app without a browser: what it shows, what it refuses, and that pages share nothing."""

import dataclasses
import json
import socket
from pathlib import Path

import pytest
import torch

from disentangle.apps.studio import KEPT, Key, Studio, render, scores
from disentangle.apps.traverse import launch, markup
from disentangle.directions import Directions, combine, discover
from disentangle.errors import UserError
from disentangle.pictures import to_uint8
from disentangle.training.run import Run
from tests.runs import gan_run, vae_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return gan_run(tmp_path / "runs" / "grey")


@pytest.fixture
def studio(run: Run) -> Studio:
    return Studio(run.path.parent)


def test_the_sliders_are_the_directions_the_most_active_first(studio: Studio) -> None:
    view = studio.open("grey", "subspace")
    activity = [float(view.directions.activeness[k]) for k in view.order]
    assert activity == sorted(activity, reverse=True)
    assert sorted(view.order) == list(range(18))
    assert view.labels[0] == view.directions.labels[view.order[0]]


def test_nothing_moved_changes_nothing_whatever_is_drawn_beside_it(studio: Studio) -> None:
    view = studio.open("grey", "subspace")
    for seed in range(400):  # batches of two pictures differed at one seed in about a hundred
        alone, with_strip = (render(view, seed, 1.0, (), last) for last in (None, 0))
        assert torch.equal(alone.moved, alone.original), seed
        assert torch.equal(with_strip.moved, alone.original), seed
        assert torch.equal(with_strip.original, alone.original), seed


def test_render_moves_the_slider_that_was_moved(studio: Studio) -> None:
    view = studio.open("grey", "weights")
    amounts = [0.0] * 48
    amounts[1], amounts[4] = 2.0, -1.5
    shown = render(view, seed=3, truncation=0.7, amounts=amounts, last=4)
    start = 0.7 * view.generator.sample_latents(1, torch.Generator().manual_seed(3))
    along = torch.zeros(18)
    along[view.order[1]] = 2.0

    def picture(amount: float) -> torch.Tensor:
        along[view.order[4]] = amount
        return to_uint8(view.generator.synthesize(combine(start, view.directions, along)))[0].int()

    # Pictures made one by one and in a batch may differ in their last bit: one grey.
    assert (shown.moved.int() - picture(-1.5)).abs().max() <= 1
    assert (shown.original.int() - to_uint8(view.generator.synthesize(start))[0].int()).abs().max() <= 1
    assert len(shown.strip) == 7
    for i, position in enumerate((-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)):
        assert (shown.strip[i].int() - picture(position)).abs().max() <= 1
    assert (shown.moved.int() - shown.original.int()).abs().max() > 5
    assert len(render(view, 3, 0.7, amounts, None).strip) == 0


def test_stored_directions_are_used_where_they_fit(studio: Studio, run: Run) -> None:
    view = studio.open("grey", "weights")
    assert "found just now" in view.note
    folder = run.path / "directions" / "weights"
    stored = view.directions.take([3, 8])
    stored.save(folder)
    again = studio.open("grey", "weights")
    assert (len(again.directions), again.note) == (2, "")
    assert again.key != view.key

    dataclasses.replace(stored, weights="0" * 64).save(folder)
    other = studio.open("grey", "weights")
    assert len(other.directions) == 18
    assert "other weights" in other.note

    (folder / "directions.safetensors").write_bytes(b"")
    assert "could not be read" in studio.open("grey", "weights").note


def test_a_page_keeps_what_it_opened(studio: Studio, run: Run) -> None:
    """Another visitor who opens the run after it was trained further must not change the first one's pictures."""
    first = studio.open("grey", "subspace")
    gan_run(run.path, seed=1, step=20)
    second = studio.open("grey", "subspace")
    assert (first.step, second.step) == (10, 20)
    assert studio.get(first.key) is first
    assert studio.get(second.key) is second
    before, after = (render(studio.get(key), 0, 1.0, (), None).moved for key in (first.key, second.key))
    assert not torch.equal(before, after)


def test_what_is_forgotten_is_opened_again_or_refused(studio: Studio, run: Run) -> None:
    view = studio.open("grey", "subspace")
    studio._views.clear()
    assert studio.get(view.key).key == view.key
    with pytest.raises(UserError, match="has changed since"):
        studio.get(Key("grey", "subspace", "0"))
    for k in range(KEPT + 2):
        view.directions.take([k]).save(run.path / "directions" / "subspace")
        studio.open("grey", "subspace")
    assert len(studio._views) == KEPT


def test_runs_are_found(tmp_path: Path, run: Run) -> None:
    vae_run(tmp_path / "runs" / "colour")
    (tmp_path / "runs" / "notes").mkdir()
    assert Studio(tmp_path / "runs").names() == ["colour", "grey"]
    assert Studio(run.path).names() == ["grey"]
    assert len(Studio(run.path).open("grey", "subspace").order) == 18
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no trained run in"):
        Studio(tmp_path / "none")
    with pytest.raises(UserError, match="give a run, or a folder of runs"):
        Studio(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no run 'other'"):
        Studio(tmp_path / "runs").open("other", "subspace")
    with pytest.raises(UserError, match="unknown discovery method"):
        Studio(tmp_path / "runs").open("grey", "magic")


def test_scores_are_read_if_they_can_be(run: Run) -> None:
    assert scores(run) == []
    for damaged in ("", "[]", '{"scores": 3}', '{"scores": [{"name": 3, "value": 1}]}', '{"scores": [{"name": "x"}]}'):
        (run.path / "report.json").write_text(damaged)
        assert scores(run) == []
    (run.path / "report.json").write_text(
        json.dumps({"scores": [{"name": "<MIG>", "value": 0.25, "baselines": {"rotated": 0.125}}]})
    )
    text = markup.scores(scores(run), "")
    assert all(part in text for part in ("&lt;MIG&gt;", "0.250", "rotated 0.125"))
    assert "disentangle evaluate here" in markup.scores([], "disentangle evaluate here")


def test_the_strip_marks_the_nearest_place(studio: Studio) -> None:
    view = studio.open("grey", "subspace")
    shown = render(view, 0, 1.0, [1.4], 0)
    cells = markup.strip(shown, view.labels[0], 1.4).split("<figure ")[1:]
    assert [i for i, cell in enumerate(cells) if 'class="here"' in cell] == [4]
    assert "−3 σ" in cells[0]
    assert ">0<" in cells[3]


def test_a_port_in_use_is_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is in use.*--port 0"):
            launch.launch(run.path, port)
    with pytest.raises(UserError, match="--port 70000 is no port"):
        launch.launch(run.path, 70000)


def test_it_starts_behind_a_proxy_and_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    page = launch.launch(run.path, 0, block=False)
    port = int(page.local_url.rstrip("/").rsplit(":", 1)[1])
    assert page.local_url.startswith("http://127.0.0.1:")
    with pytest.raises(UserError, match=f"port {port} is in use"):
        launch.launch(run.path, port, block=False)
    page.close(verbose=False)


def test_no_run_is_an_error_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a run, or a folder of runs"):
        launch.main([str(tmp_path / "nowhere"), "--port", "0"])


def test_the_first_run_is_opened_before_the_page_is_served(run: Run) -> None:
    next(run.path.glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged"):
        launch.launch(run.path, 0, block=False)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch.main(["--help"])
    assert "example: disentangle app" in capsys.readouterr().out


def test_directions_of_another_run_are_not_used(tmp_path: Path, run: Run) -> None:
    other = vae_run(tmp_path / "runs" / "colour")
    found: Directions = discover(other.load_generator(), "subspace", weights=other.weights_hash())  # type: ignore[arg-type]
    found.save(run.path / "directions" / "subspace")
    view = Studio(tmp_path / "runs").open("grey", "subspace")
    assert view.directions.vectors.shape == (18, 26)
    assert "other weights" in view.note
