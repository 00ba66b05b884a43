"""``disentangle compare``: which runs are a group, what their numbers are, and what is written."""

import io
import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from runs import recorded_run

from disentangle.apps.cli import main
from disentangle.apps.compare import run_folders
from disentangle.apps.comparison import Comparison, Statistic, compare, figure_of, labels
from disentangle.apps.comparison_figure import draw, series, thinned
from disentangle.apps.comparison_files import markdown, show, table, write_files
from disentangle.apps.history import Curve, curves_of, in_words, last_value
from disentangle.apps.summary import Measure, Summary, summarise
from disentangle.errors import UserError
from disentangle.training.architectures import VAEConfig
from disentangle.training.optimizers import AdamConfig
from disentangle.training.run import Run

KAPPA = "classifier/log10_kappa/stem"
NASTY = "<script>alert('x')|</script>"


def rows_of(values: list[float], **more: float) -> list[dict[str, Any]]:
    return [{"step": 10 * (i + 1), KAPPA: value, "classifier/loss": 1.0, **more} for i, value in enumerate(values)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two treatments with two seeds each; κ falls with the treatment, accuracy is known."""
    root = tmp_path / "runs"
    for names, end in (((), 4.0), (("nog",), 2.0)):
        for seed in (0, 1):
            values = [9.0] + [end + seed] * 9
            label = "+".join(names) or "none"
            rows = [*rows_of(values, time=60.0), {"step": 100, "test/accuracy": 0.8 + 0.1 * seed}]
            recorded_run(root / f"{label}-s{seed}", names, seed, rows=rows)
    return root


def read(folder: Path) -> Comparison:
    return compare([summarise(Run.open(path)) for path in run_folders([folder])])


# What a run came to


def test_curves_are_read_from_rows_of_any_phase_and_only_where_finite() -> None:
    rows = [
        {"step": 1, "classifier/log10_kappa/stem": 3.0, "log10_kappa/pool.norm": 1.0, "log10_kappa_rank/stem": 7.0},
        {"step": 3, "classifier/log10_kappa/stem": 2.0},
        {"step": 2, "classifier/log10_kappa/stem": float("inf"), "test/accuracy": 0.5},
        {"step": 3, "classifier/log10_kappa/stem": 2.5},
        {"classifier/log10_kappa/stem": 99.0},
    ]
    assert curves_of(rows, "log10_kappa") == {"stem": Curve([(1, 3.0), (3, 2.5)]), "pool.norm": Curve([(1, 1.0)])}
    assert curves_of(rows, "log10_kappa_rank") == {"stem": Curve([(1, 7.0)])}
    assert curves_of(rows, "rank") == {}
    assert last_value(rows, "test/accuracy") == 0.5
    assert last_value(rows, "nothing") is None


@pytest.mark.parametrize(
    ("values", "final"),
    [([5.0], 5.0), ([1.0, 2.0], 2.0), ([9.0] * 18 + [1.0, 2.0], 1.5), ([0.0] * 28 + [3.0, 50.0, 1.0], 2.0)],
)
def test_the_final_value_is_the_median_of_the_last_tenth(values: list[float], final: float) -> None:
    curve = Curve([(float(i), value) for i, value in enumerate(values)])
    assert curve.final == final
    assert curve.highest == max(values)


def test_a_summary_of_rows(tmp_path: Path) -> None:
    rows = [*rows_of([7.0] + [3.0] * 9, time=30.0), {"step": 100, "test/accuracy": 0.7, "time": 90.0}]
    summary = summarise(recorded_run(tmp_path / "run", ["nog"], 3, rows=rows))
    assert summary.values == {
        "Final log₁₀ κ": 3.0,
        "Highest log₁₀ κ": 7.0,
        "Test accuracy": 0.7,
        "Steps": 100.0,
        "Training minutes": 1.5,
    }
    assert (summary.seed, summary.kind, summary.name, summary.scored) == (3, "vae", "run", False)
    assert "seed" not in summary.settings
    assert summary.settings["treatment.names"] == ["nog"]


def test_a_report_goes_before_the_last_row(tmp_path: Path) -> None:
    rows = [{"step": 100, "test/accuracy": 0.7}]
    run = recorded_run(tmp_path / "run", rows=rows, scores={"Accuracy": 0.75, "MIG": 0.2})
    assert summarise(run).values == {"Test accuracy": 0.75, "MIG": 0.2, "Steps": 100.0}
    report = json.loads((run.path / "report.json").read_text())
    (run.path / "report.json").write_text(json.dumps(report | {"step": 50}))  # of an earlier checkpoint
    assert summarise(run).values == {"Test accuracy": 0.7, "Steps": 100.0}


def test_a_singular_covariance_is_told_and_compared_over_its_rank(tmp_path: Path) -> None:
    rows = [{"step": 1, "classifier/log10_kappa_rank/stem": 2.0, "classifier/rank/stem": 9.0}]
    exact = summarise(recorded_run(tmp_path / "exact", rows=rows))
    assert exact.values["Final log₁₀ κ over the rank"] == 2.0
    rounded = summarise(recorded_run(tmp_path / "rounded", seed=1, rows=[rows[0] | {KAPPA: 15.0}]))
    assert rounded.values["Final log₁₀ κ"] == 15.0
    whole = summarise(recorded_run(tmp_path / "whole", seed=2, rows=[rows[0] | {KAPPA: 2.0}]))
    assert (exact.singular, rounded.singular, whole.singular) == (("stem (rank 9)",), ("stem (rank 9)",), ())
    (note,) = [note for note in compare([exact, rounded, whole]).notes if "singular" in note]
    assert "stem (rank 9) is singular in exact, rounded:" in note


def test_rows_in_which_a_condition_number_was_infinite_are_told(tmp_path: Path) -> None:
    rows = [row | {"classifier/rank/stem": 9.0} for row in rows_of([3.0, 4.0, 3.0])]
    whole = summarise(recorded_run(tmp_path / "whole", rows=rows))
    del rows[1][KAPPA]
    gap = summarise(recorded_run(tmp_path / "gap", seed=1, rows=rows))
    assert (whole.infinite, gap.infinite) == ((), ("stem",))
    assert (whole.values["Highest log₁₀ κ"], gap.values["Highest log₁₀ κ"]) == (4.0, 3.0)
    (note,) = [note for note in compare([whole, gap]).notes if "infinite" in note]
    assert "κ at stem was infinite in some rows of gap:" in note
    kinds = {name: {"final": 3.0, "highest": 3.0, "rows": n} for name, n in (("log10_kappa", 2), ("rank", 3))}
    assert "In 1 more row it was infinite." in in_words("stem", kinds)
    assert "infinite" not in in_words("stem", kinds | {"rank": kinds["log10_kappa"]})


# Groups


def test_runs_that_differ_in_their_seed_are_a_group_with_mean_and_sample_deviation(folder: Path) -> None:
    comparison = read(folder)
    assert [group.label for group in comparison.groups] == ["none", "nog"]
    assert [[run.name for run in group.runs] for group in comparison.groups] == [
        ["none-s0", "none-s1"],
        ["nog-s0", "nog-s1"],
    ]
    assert comparison.differing == ("treatment.names",)
    none, nog = (group.statistics for group in comparison.groups)
    assert none["Final log₁₀ κ"] == Statistic(4.5, statistics.stdev([4, 5]), (4.0, 5.0))
    assert nog["Final log₁₀ κ"].mean == 2.5
    assert nog["Highest log₁₀ κ"] == Statistic(9.0, 0.0, (9.0, 9.0))
    assert nog["Test accuracy"].mean == pytest.approx(0.85)
    assert [measure.name for measure in comparison.measures][-2:] == ["Steps", "Training minutes"]


def test_a_single_run_has_no_deviation(tmp_path: Path) -> None:
    run = recorded_run(tmp_path / "a", ["nog"], scores={"MIG": 0.3})
    comparison = compare([summarise(run)])
    assert [group.label for group in comparison.groups] == ["tiny"]  # nothing differs: the recipe's name
    assert comparison.groups[0].statistics["MIG"] == Statistic(0.3, None, (0.3,))


def test_treatments_come_in_the_papers_order(tmp_path: Path) -> None:
    for names in (["nog", "olr"], ["olr"], ["nog"], [], ["ol"]):
        recorded_run(tmp_path / ("+".join(names) or "none"), names)
    assert [group.label for group in read(tmp_path).groups] == ["none", "ol", "nog", "olr", "nog+olr"]


def test_what_only_one_group_has_is_a_dash_and_a_note(tmp_path: Path) -> None:
    recorded_run(tmp_path / "a", ["nog"], scores={"MIG": 0.3})
    recorded_run(tmp_path / "b", ["ol"], rows=rows_of([2.0]))
    comparison = read(tmp_path)
    cells = {row[0]: row for row in table(comparison)}
    assert cells[""][2:] == ["MIG ↑", "Final log₁₀ κ ↓", "Highest log₁₀ κ ↓", "Steps"]
    assert cells["nog"][2:] == ["0.300", "–", "–", "100"]
    assert cells["ol"][2:] == ["–", "2", "2", "100"]
    assert "Without MIG: b." in comparison.notes
    assert any("Without a report of their last step" in note and note.endswith(": b.") for note in comparison.notes)


def test_scores_of_other_variants_and_repeated_seeds_are_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        recorded_run(tmp_path / name, scores={"MIG": 0.3})
    report = json.loads((tmp_path / "b/report.json").read_text())
    report["scores"][0]["variant"] = "another"
    (tmp_path / "b/report.json").write_text(json.dumps(report))
    notes = read(tmp_path).notes
    assert "tiny has the seed 0 more than once." in notes
    assert any(note.startswith("MIG was not computed in the same way") for note in notes)


def described(recipe: str, **settings: Any) -> Summary:
    return Summary(Path(recipe), recipe, "vae", recipe, {"treatment.names": [], **settings}, 0, {}, ())


@pytest.mark.parametrize(
    ("firsts", "expected"),
    [
        ([described("a")], ["a"]),
        (
            [described("a", **{"model.groups": 1}), described("a", **{"model.groups": 2})],
            ["groups=1", "groups=2"],
        ),
        (
            [
                described("a", **{"model.rank": 1, "other.rank": 1}),
                described("a", **{"model.rank": 2, "other.rank": 3, "treatment.names": ["nog"]}),
            ],
            ["none model.rank=1 other.rank=1", "nog model.rank=2 other.rank=3"],
        ),
        (
            [
                described("a", w=1, x=1, y=1, z=1),
                described("b", w=2, x=2, y=2, z=2),
                described("b", w=2, x=2, y=2, z=3),
            ],
            ["a", "b z=2", "b z=3"],
        ),
        ([described("a", new=1), described("b")], ["new=1", "new=—"]),
    ],
)
def test_groups_are_named_by_what_differs(firsts: list[Summary], expected: list[str]) -> None:
    assert labels(firsts) == expected


def test_names_are_never_the_same_twice() -> None:
    many = [Summary(Path(n), n, "vae", "r", dict.fromkeys("wxyz", i), 0, {}, ()) for i, n in enumerate("ab")]
    firsts = [Summary(s.path, s.name, "vae", "r", s.settings | {"w": 0, "x": 0, "y": 0}, 0, {}, ()) for s in many]
    firsts = [*firsts, Summary(Path("c"), "c", "vae", "r", {"w": 9, "x": 9, "y": 9, "z": 1}, 0, {}, ())]
    assert len(set(labels(firsts))) == 3


@pytest.mark.parametrize(
    ("mean", "deviation", "percent", "text"),
    [
        (0.123456, 0.0034, False, "0.1235 ± 0.0034"),
        (2.6160, 0.00761, False, "2.62 ± 0.01"),
        (4.38, 0.1, False, "4.38 ± 0.10"),
        (0.88042, 0.0085, True, "88.04 ± 0.85"),
        (1234.5, 12.3, False, "1,234 ± 12"),
        (-3.21, 0.5, False, "−3.21 ± 0.50"),
        (2000.0, 0.0, False, "2,000"),
        (0.5, None, False, "0.500"),
        (12.3456, None, False, "12.3"),
        (0.0, None, False, "0"),
    ],
)
def test_figures_for_readers(mean: float, deviation: float | None, percent: bool, text: str) -> None:
    assert figure_of(Statistic(mean, deviation, ()), Measure("m", percent=percent)) == text


# The command


def test_the_command_shows_a_table_and_writes_the_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    main(["compare", str(folder), "--out", str(out)])
    shown = capsys.readouterr().out
    assert re.search(r"none +2 +4\.50 ± 0\.71 +9", shown)
    assert "median of the last 10 %" in " ".join(shown.split())
    assert sorted(path.name for path in out.iterdir()) == [
        "compare.html",
        "compare.json",
        "compare.md",
        "compare.png",
        "compare.svg",
    ]
    saved = json.loads((out / "compare.json").read_text())
    assert saved["version"] == 1
    assert saved["command"].startswith("disentangle compare ")
    assert [group["label"] for group in saved["groups"]] == ["none", "nog"]
    assert saved["groups"][1]["settings"] == {"treatment.names": ["nog"]}
    entry = saved["groups"][0]["statistics"]["Final log₁₀ κ"]
    assert entry == {"mean": 4.5, "standard_deviation": statistics.stdev([4, 5]), "runs": 2}
    assert [run["values"]["Final log₁₀ κ"] for run in saved["groups"][0]["runs"]] == [4.0, 5.0]
    lines = (out / "compare.md").read_text().splitlines()
    assert lines[0].startswith("|  | runs | Final log₁₀ κ ↓ |")
    assert lines[2].startswith("| none | 2 | 4.50 ± 0.71 |")
    with Image.open(out / "compare.png") as image:
        assert image.width == 1960


def test_without_out_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    main(["compare", str(folder / "none-s0"), str(folder / "nog-s1")])
    assert "2 runs in 2 groups" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no run to compare"),
        (["{runs}/nothing"], "no run folder at"),
        (["{runs}/none-s0", "{runs}/none-s0"], "is named twice"),
        (["{runs}", "{runs}/../runs/none-s0"], "is named twice"),
        (["{runs}", "--out", "{runs}/none-s0/config.json"], "--out must be a folder"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *(argument.format(runs=folder) for argument in arguments)])
    assert stopped.value.code == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("disentangle: error: ")
    assert message in error


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = recorded_run(tmp_path / "run", steps=100)
    (run.path / "checkpoints/00000100").rename(run.path / "checkpoints/00000060")
    with pytest.raises(UserError, match="at step 60 of 100: go on with it"):
        summarise(run)
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint yet"):
        summarise(run)


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    run = recorded_run(tmp_path / "run")
    (run.path / "report.json").write_text("{")
    with pytest.raises(UserError, match=r"report\.json cannot be read"):
        summarise(run)


# What is drawn and written


def test_a_band_keeps_every_spike() -> None:
    steps = [float(i) for i in range(1_000)]
    values = [[1.0, 2.0, 3.0] for _ in steps]
    values[517] = [1.0, 2.0, 30.0]
    middle, low, high = thinned(steps, values)
    assert len(middle) == len(low) == len(high) <= 120
    assert max(value for _, value in high) == 30.0
    assert {value for _, value in low} == {1.0}
    assert sum(value for _, value in middle) / len(middle) == pytest.approx(2.0, abs=0.02)
    assert thinned([1.0], [[5.0]]) == ([(1.0, 5.0)],) * 3


def test_a_group_is_drawn_over_the_steps_that_all_its_runs_have(tmp_path: Path) -> None:
    recorded_run(tmp_path / "a", seed=0, rows=rows_of([1.0, 2.0, 3.0]))
    recorded_run(tmp_path / "b", seed=1, rows=rows_of([3.0, 6.0]))
    line = series(read(tmp_path).groups[0], "stem", 0)
    assert line is not None
    assert list(line.points) == [(10.0, 2.0), (20.0, 4.0)]
    assert (list(line.low), list(line.high)) == ([(10.0, 1.0), (20.0, 2.0)], [(10.0, 3.0), (20.0, 6.0)])


def test_nothing_to_draw_is_no_picture(tmp_path: Path) -> None:
    recorded_run(tmp_path / "runs/a")
    comparison = read(tmp_path / "runs")
    assert draw(comparison) is None
    names = [path.name for path in write_files(tmp_path / "out", comparison, "command")]
    assert names == ["compare.json", "compare.md", "compare.html"]


def test_names_are_escaped_everywhere(tmp_path: Path) -> None:
    for i, rank in enumerate((1, 2)):
        run = recorded_run(tmp_path / f"runs/{i}", settings={"model": VAEConfig(rank=rank)}, rows=rows_of([2.0]))
        config = run.config | {"name": NASTY}
        config["recipe"]["precision"] = f"{NASTY}{i}"
        (run.path / "config.json").write_text(json.dumps(config))
    comparison = read(tmp_path / "runs")
    assert NASTY in comparison.groups[0].label
    write_files(tmp_path / "out", comparison, NASTY)
    for name in ("compare.html", "compare.svg"):
        text = (tmp_path / "out" / name).read_text()
        assert "<script" not in text
        assert "&lt;script" in text
    head, _, *body = markdown(comparison, "command").splitlines()[:4]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", head)) for line in body)
    page = (tmp_path / "out/compare.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "https:" not in page


def test_a_wide_table_is_shown_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    scores = {f"A rather long score {i}": 0.1 * i for i in range(6)}
    for rate in (1e-3, 1e-4):
        recorded_run(tmp_path / f"{rate}", settings={"optimizer": AdamConfig(learning_rate=rate)}, scores=scores)
    file = io.StringIO()
    show(read(tmp_path), [], file)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith("learning_rate=0.001 ") for line in lines) >= 2
    for name in scores:
        assert sum(name in line for line in lines) == 1
