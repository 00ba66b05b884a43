"""``disentangle render`` and the drawings that it shares with the app."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from disentangle.apps import cli, render, renderings
from disentangle.apps.discover import drawn as draw_discovered
from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, View, picture
from disentangle.directions import Directions, discover
from disentangle.directions.draw import CAPTION, HEADER, PAD, TITLE
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil
from disentangle.training.run import Run
from tests.runs import gan_run, vae_run

EDIT = Edit("grey", "subspace", ((1, 1.5), (4, -2.0)), seed=3, truncation=0.8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = gan_run(tmp_path_factory.mktemp("render") / "grey")
    found = discover(run.load_generator(), "subspace", weights=run.weights_hash())
    found.rename(4, "größer=1").save(run.path / "directions" / "subspace")
    return run


@pytest.fixture(scope="module")
def view(run: Run) -> View:
    return Studio(run.path).open("grey", "subspace")


def pixels(drawn: Image.Image, view: View, left: int, top: int, scale: int = 3) -> np.ndarray:
    """The picture at a corner of a drawing, brought back to its size."""
    side = 32 * scale
    return np.asarray(drawn.convert("L"))[top : top + side, left : left + side][1::scale, 1::scale]


def test_the_command_gives_the_bytes_of_the_app(
    run: Run, view: View, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = png_bytes(to_pil(picture(view, EDIT)))
    options = ["--directions", "subspace", "--move", "1=1.5", "GRÖSSER=1=-2", "--seed", "3", "--truncation", "0.8"]
    render.main([str(run.path), *options, "--out", str(tmp_path / "a.png")])
    path, query = capsys.readouterr().out.splitlines()
    assert path == str(tmp_path / "a.png")
    assert Path(path).read_bytes() == expected == renderings.png(view, EDIT)
    weights = run.weights_hash()[:12]
    assert Edit.from_query(query) == replace(EDIT, weights=weights, basis=view.basis)
    for i, link in enumerate((query, f"http://127.0.0.1:7860/{query}#x", EDIT.to_query())):
        out = tmp_path / f"{i}.png"
        render.main([link, "--runs", str(run.path.parent), "--out", str(out)])
        assert out.read_bytes() == expected
    render.main(
        [query, "--runs", str(run.path.parent), "--seed", "5", "--move", "1=0", "--out", str(tmp_path / "b.png")]
    )
    changed = Edit("grey", "subspace", ((4, -2.0),), seed=5, truncation=0.8)
    assert (tmp_path / "b.png").read_bytes() == renderings.png(view, changed)
    render.main([query, "--runs", str(run.path.parent), "--size", "2", "--out", str(tmp_path / "c.png")])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png"))[::2, 1::2], picture(view, EDIT)[0].numpy())


def test_strips_and_sheets_are_made_of_the_pictures_of_edits(view: View) -> None:
    drawn = renderings.strip(view, EDIT, 4, [-1.0, 0.5])
    assert drawn.size == (CAPTION + 2 * 99 + PAD, TITLE + HEADER + 99 + PAD + 1)
    for column, position in enumerate((-1.0, 0.5)):
        expected = picture(view, replace(EDIT, coordinates=((1, 1.5), (4, position))))[0].numpy()
        left, top = CAPTION + PAD + column * 99, TITLE + HEADER + 1 + PAD
        assert np.array_equal(pixels(drawn, view, left, top), expected)
    drawn = renderings.sheet(view, renderings.with_seeds(replace(EDIT, picture="x"), [7, 9]), 0, [2.0])
    expected = picture(view, replace(EDIT, coordinates=(*EDIT.coordinates, (0, 2.0)), seed=9))[0].numpy()
    assert np.array_equal(pixels(drawn, view, CAPTION + PAD, TITLE + HEADER + 1 + 103 + PAD), expected)
    caption = np.asarray(drawn)[TITLE + HEADER + 1 :, :CAPTION]
    for row in (caption[:100], caption[103:]):
        assert (row < 128).any(), "each row has a caption"


def test_discovery_draws_what_a_slider_shows(view: View) -> None:
    drawn = draw_discovered(view.generator, view.directions, [4], seed=5)["strips.png"]
    strip = Image.open(io.BytesIO(drawn)).convert("RGB")
    for column, position in ((0, -3.0), (3, 0.0), (5, 2.0)):
        shown = pixels(strip, view, CAPTION + PAD + column * 99, HEADER + 1 + PAD).astype(int)
        expected = picture(view, Edit("grey", "subspace", ((4, position),), seed=5))[0].numpy()
        assert np.abs(shown - expected).max() <= 1, position  # made among others, a shade may differ


def test_a_loop_swings_between_its_ends_and_closes(view: View) -> None:
    frames = renderings.frames(view, EDIT, 0, (-1.0, 2.0), 8, [1, 2])
    assert len(frames) == 8
    for index, position in ((0, 0.5), (2, 2.0), (4, 0.5), (6, -1.0)):
        for column, seed in enumerate((1, 2)):
            expected = picture(view, renderings.at(replace(EDIT, seed=seed), 0, position))[0].numpy()
            assert np.array_equal(pixels(frames[index], view, PAD + column * 99, HEADER + PAD), expected)
    assert frames[1].tobytes() == frames[3].tobytes() != frames[2].tobytes()
    symmetric = renderings.frames(view, EDIT, 0, 2.0, 4)
    expected = picture(view, renderings.at(EDIT, 0, -2.0))[0].numpy()
    assert np.array_equal(pixels(symmetric[3], view, PAD, HEADER + PAD, scale=6), expected)


def test_a_video_plays_what_was_drawn(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    frames = renderings.frames(view, EDIT, 0, 2.0, 5)
    data = renderings.mp4_bytes(frames, 10)
    assert data == renderings.mp4_bytes(frames, 10)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 10)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    width, height = frames[0].size
    assert len(decoded) == 5
    assert decoded[0].shape == (height + height % 2, width + width % 2, 3)
    for frame, back in zip(frames, decoded):
        # An odd last line shares its colour with the white one beside it.
        inside = np.asarray(frame).astype(int)[:-1, :-1] - back[: height - 1, : width - 1]
        assert np.abs(inside).mean() < 2
    assert data.index(b"moov") < data.index(b"mdat"), "a browser can begin before the end has come"
    with pytest.raises(ValueError, match="expected frames of one size"):
        renderings.mp4_bytes([])
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'disentangle-svd\[video\]'"):
        renderings.mp4_bytes(frames, 10)


def test_several_files_at_once(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--directions", "subspace", "--strip", "0", "größer=1", "--layers", "layer 2", "--grid", "1"]
    options += ["--gif", "0", "--seeds", "0,4-5", "--steps", "3", "--frames", "8", "--fps", "10", "--from", "-2"]
    render.main([str(run.path), *options, "--out", str(tmp_path / "drawings")])
    *paths, query = capsys.readouterr().out.splitlines()
    names = ["strip-0-seed-0.png", "strip-4-seed-0.png", "strips-layer-2-seed-0.png", "grid-1.png", "loop-0-seed-0.gif"]
    assert [Path(path).name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "drawings").iterdir()) == sorted(names), "nothing else is left"
    assert query.startswith("?run=grey&directions=subspace&seed=0&weights=")
    layers = Image.open(paths[2]).height - TITLE - HEADER
    assert layers == 103 * Directions.load(run.path / "directions" / "subspace").layers.count("layer 2")
    assert (Image.open(paths[3]).height - TITLE - HEADER) == 3 * 103
    gif = Image.open(paths[4])
    assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (8, 100, 0)  # type: ignore[attr-defined]
    assert gif.width == 3 * 99 + PAD
    with pytest.raises(UserError, match=r"strip-0-seed-0.png exists: name another with --out"):
        render.main([str(run.path), *options, "--out", str(tmp_path / "drawings")])


def test_seeds_by_range() -> None:
    assert render.parse_seeds("0-2, 12,5-5") == [0, 1, 2, 12, 5]
    for wrong in ("", "3-1", "a", "1-", "-1", "0-256", "0-99999999999", "1" * 5000, "0-" + "1" * 5000):
        with pytest.raises(UserError, match="seeds") as caught:
            render.parse_seeds(wrong)
        assert len(str(caught.value)) < 200


def test_a_long_query_that_it_printed_is_a_link(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moves = [f"{k}=1.23456789{k:02}" for k in range(18)]
    render.main([str(run.path), "--directions", "subspace", "--move", *moves, "--out", str(tmp_path / "a.png")])
    query = capsys.readouterr().out.splitlines()[-1]
    assert len(query) > 255
    for i, link in enumerate((query, query[1:], f"http://127.0.0.1:7860/{query}")):
        render.main([link, "--runs", str(run.path.parent), "--out", str(tmp_path / f"{i}.png")])
        assert (tmp_path / f"{i}.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_names_that_the_system_refuses_end_in_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a" * 300
    for arguments in (
        ["render", f"runs/{long}"],
        ["render", str(run.path), "--directions", "subspace", "--out", f"o/{long}.png"],
        ["render", str(run.path), "--directions", "subspace", "--seed", "1" * 5000],
        ["discover", "z" * 5000],
        ["directions", "list", long],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert line.startswith("disentangle: error: ")
        assert len(line) < 500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--move", "0=11"], "between -10 and 10 sigma"),
        (["--move", "0=nan"], "expected DIRECTION=SIGMA"),
        (["--move", "1"], "expected DIRECTION=SIGMA"),
        (["--move", "smile=1"], "unknown direction 'smile'.*größer"),
        (["--move", "0=1", "0=2"], "twice"),
        (["--strip", "18"], "there is no direction 18: possible: 0 to 17"),
        (["--strip", "0", "--from", "-30"], "between -10 and 10 sigma"),
        (["--strip", "0", "--steps", "1"], "--steps must lie between 2 and 100"),
        (["--grid", "0", "--seeds", "0-255"], "1,792 pictures cannot be drawn at once"),
        (["--layers", "layer 9"], "unknown layer 'layer 9': did you mean"),
        (["--from", "1", "--to", "1"], "--from must be less than --to"),
        (["--directions", "../weights"], "names have no slash"),
        (["--directions", "mine"], "unknown directions 'mine'.*subspace"),
        (["--picture", "none"], "has no inverted picture 'none'"),
        (["--truncation", "nan"], "truncation must lie"),
        (["--size", "2", "--strip", "0"], "--size enlarges the one picture"),
        (["--out", "picture.jpg"], "--out must end in .png"),
        (["--strip", "0", "1", "--out", "a.png"], "2 files cannot go into a.png"),
    ],
)
def test_refusals(run: Run, options: list[str], words: str) -> None:
    options = options if "--directions" in options else [*options, "--directions", "subspace"]
    with pytest.raises(UserError, match=words):
        render.main([str(run.path), *options])
    assert not (run.path / "renders").exists()


def test_other_weights_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the link was made with other weights \(abc\)"):
        render.main(["run=grey&directions=subspace&weights=abc", "--runs", str(run.path.parent)])
    other = gan_run(tmp_path / "other", seed=1)
    Directions.load(run.path / "directions" / "subspace").save(other.path / "directions" / "subspace")
    with pytest.raises(UserError, match=r"belong to other weights.*disentangle discover"):
        render.main([str(other.path), "--directions", "subspace"])
    with pytest.raises(UserError, match="no run folder at"):
        render.main(["run=nowhere", "--runs", str(tmp_path)])


def test_colour(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "colour")
    view = Studio(run.path).open("colour", "auto")
    edit = Edit("colour", "coordinate", ((0, 1.0),), seed=2)
    render.main([str(run.path), "--move", "0=1", "--seed", "2"])
    drawn = Image.open(run.path / "renders" / "picture-seed-2.png")
    assert np.array_equal(np.asarray(drawn), picture(view, edit).permute(1, 2, 0).numpy())
    strip = np.asarray(renderings.strip(view, edit, 0, [1.0]))
    tile = strip[TITLE + HEADER + 1 + PAD :, CAPTION + PAD :][1:96:3, 1:96:3]
    assert np.array_equal(tile, picture(view, edit).permute(1, 2, 0).numpy())
