"""``disentangle evaluate --codes … --factors …``: scores for users of other libraries."""

import json
from pathlib import Path

import numpy as np
import pytest

from disentangle.apps.cli import main
from disentangle.apps.evaluate import evaluate_arrays
from disentangle.apps.evaluation.arrays import load
from disentangle.apps.evaluation.schema import ADAPTER
from disentangle.apps.evaluation.score import quiet
from disentangle.apps.evaluation.settings import Settings
from disentangle.errors import UserError
from disentangle.metrics import mig


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (300, 2))
    codes = np.column_stack([factors + 0.2 * rng.standard_normal((300, 2)), np.zeros(300)])
    np.save(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "factors.npy", factors)
    return tmp_path / "codes.npy", tmp_path / "factors.npy"


def test_arrays_get_a_report_with_names_and_notes(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    words = ["--codes", str(files[0]), "--factors", str(files[1]), "--factor-names", "hue", "<b>size</b>"]
    main(
        [
            "evaluate",
            *words,
            "--scores",
            "mig",
            "dci",
            "--out",
            str(out),
            "--train-samples",
            "200",
            "--test-samples",
            "100",
        ]
    )
    report = json.loads((out / "report.json").read_text())
    ADAPTER.validate_python(report)
    assert (report["kind"], report["run"], report["data"]["factors"]) == ("codes", "codes", ["hue", "<b>size</b>"])
    assert report["samples"] == {"train_codes": 200, "test_codes": 100}
    assert [score["name"] for score in report["scores"]][:2] == ["MIG", "DCI disentanglement"]
    assert report["codes"]["active"] == [True, True, False]
    page = (out / "report.html").read_text()
    assert "<b>size" not in page
    assert "&lt;b&gt;size" in page
    assert "Code 2 is constant" in page
    assert f"{report['scores'][0]['value']:.3f}" in capsys.readouterr().out


def test_the_score_is_that_of_the_shuffled_rows(files: tuple[Path, Path], tmp_path: Path) -> None:
    settings = Settings(scores=("mig",), train_samples=290, test_samples=10)
    report = evaluate_arrays(*files, settings, out=tmp_path / "out")
    codes, factors = (np.load(path) for path in files)
    with quiet():
        whole = mig(codes, factors).score
    assert report["scores"][0]["value"] == pytest.approx(whole, abs=0.03)
    again = evaluate_arrays(*files, settings, out=tmp_path / "out")
    assert again["scores"] == report["scores"]
    assert "MIG" not in again["seconds"]  # it was kept
    np.save(files[0], codes[:, ::-1])
    changed = evaluate_arrays(*files, settings, out=tmp_path / "out")
    assert "MIG" in changed["seconds"]


def test_csv_and_npz_hold_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    codes, factors = (np.load(path) for path in files)
    np.savez(tmp_path / "codes.npz", codes)
    np.savetxt(tmp_path / "factors.csv", factors, delimiter=",", fmt="%d")
    settings = Settings(scores=("mig",))
    first = evaluate_arrays(*files, settings, out=tmp_path / "a")
    second = evaluate_arrays(tmp_path / "codes.npz", tmp_path / "factors.csv", settings, out=tmp_path / "b")
    assert first["scores"] == second["scores"]


def broken(path: Path) -> Path:
    path.write_bytes(b"\x93NUMPY broken")
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--codes", "{codes}"], "--codes and --factors go together"),
        ([], "expected what to score"),
        (["{codes}", "--codes", "{codes}", "--factors", "{factors}"], "expected what to score"),
        (["--codes", "{codes}", "--factors", "{factors}"], "--codes needs --out"),
        (["--codes", "{none}", "--factors", "{factors}", "--out", "{out}"], "no file"),
        (["--codes", "{broken}", "--factors", "{factors}", "--out", "{out}"], "cannot be read as an array"),
        (["--codes", "{two}", "--factors", "{factors}", "--out", "{out}"], "holds 2 arrays (a, b)"),
        (["--codes", "{objects}", "--factors", "{factors}", "--out", "{out}"], "cannot be read as an array"),
        (["--codes", "{nan}", "--factors", "{factors}", "--out", "{out}"], "must be finite, got 1 NaN"),
        (["--codes", "{codes}", "--factors", "{codes}", "--out", "{out}"], "must be integers"),
        (["--codes", "{codes}", "--factors", "{short}", "--out", "{out}"], "must have a row for every code"),
        (
            ["--codes", "{codes}", "--factors", "{factors}", "--out", "{out}", "--scores", "frechet"],
            "none is a score of",
        ),
        (["--codes", "{codes}", "--factors", "{factors}", "--out", "{out}", "--factor-names", "a"], "has 1 names and"),
        (
            ["--codes", "{codes}", "--factors", "{factors}", "--out", "{out}", "--test-samples", "999999"],
            "leave 2 to learn",
        ),
    ],
)
def test_bad_input_is_one_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    codes = np.load(files[0])
    np.savez(tmp_path / "two.npz", a=codes, b=codes)
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.load(files[1])[:5])
    codes[3, 1] = np.nan
    np.save(tmp_path / "nan.npy", codes)
    places = {name: tmp_path / f"{name}.npy" for name in ("codes", "factors", "none", "objects", "nan", "short")}
    places |= {"two": tmp_path / "two.npz", "broken": broken(tmp_path / "broken.npy"), "out": tmp_path / "out"}
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *(word.format(**places) for word in words)])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("disentangle: error: ")
    assert message in error
    assert not (tmp_path / "out/report.json").exists()


def test_damaged_archives_and_tables_of_text_are_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", codes=np.load(files[0]))
    data = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    changed = bytearray(data)
    changed[len(data) // 2] ^= 255
    (tmp_path / "changed.npz").write_bytes(bytes(changed))
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 10), }"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head.ljust(117) + b"\n")
    (tmp_path / "named.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "objects.npy", np.array([[1, "x"]], dtype=object))
    for name, said in (
        ("cut.npz", "cannot be read"),
        ("changed.npz", "cannot be read"),
        ("huge.npy", "cannot be read"),
        ("named.csv", "without a line of names"),
        ("objects.npy", "holds Python objects, which are not loaded"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_of_several_arrays_the_one_of_that_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    codes, factors = map(np.load, files)
    np.savez(tmp_path / "both.npz", codes=codes, factors=factors)
    assert np.array_equal(load(tmp_path / "both.npz", "codes"), codes)
    assert np.array_equal(load(tmp_path / "both.npz", "factors"), factors)
    with pytest.raises(UserError, match=r"holds 2 arrays \(codes, factors\).*call the one that is meant 'x'"):
        load(tmp_path / "both.npz", "x")
