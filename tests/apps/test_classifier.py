"""``disentangle evaluate`` of a classifier: a network whose answers are known, and a real, tiny run."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import recorded_run
from tiny import RECIPES, make_trainer
from torch import Tensor, nn

from disentangle.apps.cli import main
from disentangle.apps.evaluate import evaluate
from disentangle.apps.evaluation import classifier as classifier_module
from disentangle.apps.evaluation.classifier import conditioning, measure_classifier
from disentangle.apps.evaluation.classifier_scores import calibrated, confusions, mistakes, score_classifier
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.page import verdict
from disentangle.errors import UserError
from disentangle.training.run import Run

NASTY = "<script>alert('x')</script>"
ROWS = [
    {"step": i, "classifier/log10_kappa/stem": 3.0 + (i == 4), "classifier/log10_kappa_ridge/stem": 1.0}
    | {"classifier/log10_kappa_rank/stem": 3.0 + (i == 4), "classifier/rank/stem": 16.0, "classifier/loss": 1.0 / i}
    for i in range(1, 11)
]


class Blocks:
    """Grey pictures whose first pixel is their class, and the second their index; every third is of class 0."""

    name, size, channels = "blocks", 8, 1
    factor_names = ("class",)

    def __init__(self, count: int, names: tuple[str, ...]) -> None:
        self.count = count
        self.factor_values = (names,)
        self.factor_sizes = (len(names),)

    def __len__(self) -> int:
        return self.count

    def factors(self, indices: Tensor) -> Tensor:
        return torch.where(indices % 3 == 0, 0, 1 + indices % (self.factor_sizes[0] - 1))[:, None]

    def images(self, indices: Tensor) -> Tensor:
        pictures = torch.zeros(len(indices), 1, 8, 8, dtype=torch.uint8)
        pictures[:, 0, 0, 0] = self.factors(indices)[:, 0].byte()
        pictures[:, 0, 0, 1] = (indices % 250).byte()
        return pictures


class Reader(nn.Module):
    """Reads the class off the picture; where the second pixel is a multiple of ten it says class 1, sure of it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        pixels = ((images[:, 0, 0, :2] + 1) * 127.5).round().long()
        wrong = pixels[:, 1] % 10 == 0
        answers = torch.where(wrong, 1, pixels[:, 0])
        return nn.functional.one_hot(answers, self.classes).float() * (3.0 + 2.0 * wrong[:, None])


@dataclass(frozen=True)
class Trained(Run):
    """A run of a classifier that is tested on :class:`Blocks`."""

    classes: int = 4

    @property
    def kind(self) -> str:
        return "classifier"

    def test_data(self) -> Any:
        return Blocks(300, (NASTY, *(f"class {i}" for i in range(1, self.classes))))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    recorded = recorded_run(tmp_path / "run", rows=ROWS)
    found = Trained(recorded.path, recorded.config)
    monkeypatch.setattr(classifier_module, "load_model", lambda run, step, device: (Reader(run.classes), "0123456789"))
    return found


def by_name(report: dict[str, Any]) -> dict[str, Any]:
    return {score["name"]: score for score in report["scores"]}


def test_known_answers_have_known_scores(run: Trained) -> None:
    report = evaluate(run, command="the command")
    assert json.loads((run.path / "report.json").read_text()) == report
    scores = by_name(report)
    assert list(scores) == ["Accuracy", "Negative log-likelihood", "Calibration error"]  # no top 5 of four classes
    indices = torch.arange(300)
    labels = Blocks(300, tuple("abcd")).factors(indices)[:, 0]
    wrong = indices % 250 % 10 == 0  # answered with class 1
    assert scores["Accuracy"]["value"] == pytest.approx(1 - wrong.double().mean().item())
    assert scores["Accuracy"]["parts"]["correct"] == 300 - int(wrong.sum())
    assert scores["Accuracy"]["baselines"] == {"most frequent class": 100 / 300, "chance": 0.25}
    low, high = scores["Accuracy"]["interval"]
    assert low < scores["Accuracy"]["value"] < high
    shares = np.array([100, 100, 100]) / 300  # class 1 does not occur
    beside = scores["Negative log-likelihood"]["baselines"]
    assert beside["class frequencies"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert beside["chance"] == pytest.approx(np.log(4))
    assert scores["Calibration error"]["baselines"]["always sure"] == pytest.approx(wrong.double().mean().item())
    matrix = np.array(report["confusion"]["counts"])
    assert matrix.sum() == 300
    assert matrix[0, 1] == int((wrong & (labels == 0)).sum())
    assert report["samples"] == {"pictures": 300}
    assert (report["kind"], report["version"], report["step"], report["weights"]) == (
        "classifier",
        3,
        100,
        "0123456789",
    )


def test_the_mistakes_are_those_it_was_surest_of(run: Trained) -> None:
    report, pictures = measure_classifier(run, Settings())
    assert len(report["mistakes"]) == len(pictures) <= 24
    data = run.test_data()
    for entry, picture in zip(report["mistakes"], pictures, strict=True):
        index = torch.tensor([entry["index"]])
        assert torch.equal(data.images(index)[0], picture)
        assert data.factor_values[0][int(data.factors(index))] == entry["true"] != entry["answer"] == "class 1"
        assert entry["confidence"] == pytest.approx(np.exp(5) / (np.exp(5) + 3))


def test_a_part_of_the_test_pictures_is_drawn_by_the_seed(run: Trained) -> None:
    first, _ = measure_classifier(run, Settings(samples=60))
    again, _ = measure_classifier(run, Settings(samples=60))
    other, _ = measure_classifier(run, Settings(samples=60, seed=1))
    assert first["samples"] == {"pictures": 60}
    assert first["confusion"] == again["confusion"] != other["confusion"]
    more, _ = measure_classifier(run, Settings(samples=500))
    assert more["samples"] == {"pictures": 300}
    assert more["notes"] == ["There are only 300 test pictures, not 500."]


def test_the_condition_numbers_are_in_the_report(run: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluate(run)
    assert report["conditioning"]["stem"]["log10_kappa"] == {"final": 3.0, "highest": 4.0, "rows": 10}
    assert report["conditioning"]["stem"]["rank"]["final"] == 16.0
    page = (run.path / "report.html").read_text()
    assert "stem: log₁₀ κ 3.00 in the end (the median of the last 10% of 10 rows), 4.00 at most." in page
    assert "log10_kappa" not in page  # drawn in its own section, not once more among the curves
    assert "classifier/loss" in page


def test_an_earlier_checkpoint_has_the_condition_numbers_until_then(run: Trained) -> None:
    for step, rows, highest in ((10, 10, 4.0), (4, 4, 4.0), (3, 3, 3.0)):
        found = conditioning(run, step)["stem"]["log10_kappa"]
        assert (found["rows"], found["highest"]) == (rows, highest)


def test_without_condition_numbers_there_is_no_section(run: Trained) -> None:
    run.metrics_path.write_text("")
    assert evaluate(run)["conditioning"] == {}
    assert "Conditioning" not in (run.path / "report.html").read_text()


def test_the_page_is_whole_and_safe(run: Trained) -> None:
    evaluate(run, command=NASTY)
    page = (run.path / "report.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script") > 10
    for words in ("Which class is taken for which", "How sure it is", "The mistakes it was surest of", "Conditioning"):
        assert words in page
    assert '"wide"><table class="heat"' in page
    assert not re.search(r'(src|href)="(?!data:image/png)', page)
    counts = re.findall(r'<td class="[^"]*" style="--share:[^"]*">([\d,]*)</td>', page)
    assert len(counts) == 16
    assert sum(int(count) for count in counts if count) == 300


def test_many_classes_get_a_list_instead_of_a_table(run: Trained) -> None:
    many = Trained(run.path, run.config, classes=30)
    report = evaluate(many)
    assert list(by_name(report))[:2] == ["Accuracy", "Top-5 accuracy"]
    page = (run.path / "report.html").read_text()
    assert 'class="heat"' not in page
    worst = report["confusion"]["worst"]
    assert [entry["count"] for entry in worst] == sorted((entry["count"] for entry in worst), reverse=True)
    assert len(worst) <= 20
    assert page.count("<td>class 1</td>") == len(worst)


def test_a_faultless_classifier_has_no_mistakes_to_show(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "forward", lambda self, x: nn.functional.one_hot(torch.zeros(len(x)).long(), 4).float())
    monkeypatch.setattr(Blocks, "factors", lambda self, i: torch.zeros(len(i), 1).long())
    report = evaluate(run)
    assert by_name(report)["Accuracy"]["value"] == 1.0
    assert report["mistakes"] == report["confusion"]["worst"] == []
    assert "surest" not in (run.path / "report.html").read_text()


def test_a_classifier_of_other_classes_is_refused(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "load_model", lambda *_: (Reader(7), ""))
    with pytest.raises(UserError, match="tells 7 classes apart and the test pictures of 'blocks' have 4"):
        evaluate(run)


def test_a_diverged_classifier_is_refused_and_writes_nothing(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "forward", lambda self, x: torch.full((len(x), 4), torch.nan))
    with pytest.raises(UserError, match="diverged"):
        evaluate(run)
    assert not (run.path / "report.json").exists()


def test_the_reference_point_of_calibration_is_what_chance_does() -> None:
    draw = np.random.default_rng(0)
    logits = 2 * draw.standard_normal((2_000, 4))
    belief = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (belief.cumsum(1) < draw.uniform(size=(2_000, 1))).sum(1)
    score = score_classifier(logits, labels, seed=0)[-1]
    usual, spread = score.baselines["well calibrated"], score.spreads["well calibrated"]
    assert abs(score.value - usual) < 4 * spread
    assert calibrated(np.ones(50), 0).max() == 0
    assert calibrated(belief.max(1)[:100], 0).mean() > 2 * usual  # fewer samples, more chance


def test_confusions_and_mistakes_of_a_small_case() -> None:
    logits = np.array([[5.0, 0, 0], [0, 1.0, 0], [3.0, 0, 0], [0, 0, 2.0], [4.0, 0, 0]])
    labels = np.array([0, 0, 1, 1, 1])
    found = confusions(logits, labels, ("a", "b", "c"))
    assert found["counts"] == [[1, 1, 0], [2, 0, 1], [0, 0, 0]]
    assert found["worst"] == [
        {"true": "b", "answer": "a", "count": 2, "share": 2 / 3},
        {"true": "a", "answer": "b", "count": 1, "share": 1 / 2},
        {"true": "b", "answer": "c", "count": 1, "share": 1 / 3},
    ]
    assert found["mean_recall"] == 0.25
    assert [entry["index"] for entry in mistakes(logits, labels, ("a", "b", "c"), 3)] == [4, 2, 3]


@pytest.mark.parametrize(
    ("error", "gap", "words"),
    [(0.02, 0.02, "as sure as it should be"), (0.1, 0.09, "9.0 points above"), (0.1, -0.09, "9.0 points below")],
)
def test_the_verdict_on_answers(error: float, gap: float, words: str) -> None:
    beside = {"value": error, "parts": {"gap": gap}, "baselines": {"well calibrated": 0.015}}
    beside |= {"name": "Calibration error", "spreads": {"well calibrated": 0.003}}
    accuracy = {"name": "Accuracy", "value": 0.9, "baselines": {"most frequent class": 0.1}}
    sentence = verdict({"scores": [accuracy, beside], "samples": {"pictures": 1_000}})
    assert sentence.startswith("It names 90.0% of 1,000 test pictures correctly")
    assert words in sentence


def test_a_real_run_has_the_accuracy_that_its_training_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trainer(tmp_path / "run", RECIPES["classifier"]).train()
    main(["evaluate", str(tmp_path / "run")])
    run = Run.open(tmp_path / "run")
    report = json.loads((run.path / "report.json").read_text())
    recorded = [row["test/accuracy"] for row in run.metrics() if "test/accuracy" in row]
    assert by_name(report)["Accuracy"]["value"] == pytest.approx(recorded[-1])
    assert report["classes"] == list("0123456789")
    assert report["weights"] == run.weights_hash()
    assert report["conditioning"]
    shown = capsys.readouterr().out
    assert "Accuracy" in shown
    assert "log₁₀ κ" in shown
    main(["compare", str(run.path)])
    assert "Test accuracy" in capsys.readouterr().out
