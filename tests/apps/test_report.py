"""The page is whole, safe and on its own, and a report is written whole or not at all."""

import base64
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.apps import report as report_module
from disentangle.apps.evaluation.score import Score
from disentangle.apps.page import facts, scalars, sheet, stand, standing, verdict
from disentangle.apps.report import Pictures, render, show, write
from disentangle.errors import UserError
from disentangle.training.files import locked

NASTY = "<script>alert('x')</script>"


def score(name: str, value: float, **more: Any) -> dict[str, Any]:
    top = None if name == "Fréchet distance" else 1.0
    return Score(name, "variant", value, "higher", (0.0, top), "It measures.", **more).to_dict()


def make_report(**changes: Any) -> dict[str, Any]:
    beside = {"perfect": 0.9, "rotated": 0.1, "noise": 0.01}
    information = [[1.0, 0.1], [0.0, 0.5], [0.001, 0.0]]
    return {
        "version": 1,
        "run": NASTY,
        "kind": "vae",
        "model": "BetaVAE",
        "step": 12_000,
        "seed": 3,
        "weights": "0123456789abcdef",
        "data": {"name": NASTY, "size": 8, "channels": 1, "pictures": 99, "factors": [NASTY, "hue"]},
        "samples": {"pictures": 40},
        "scores": [
            score(
                "MIG",
                0.4321,
                interval=(0.4, 0.46),
                baselines=beside,
                spreads={"rotated": 0.02},
                parts={"mutual_information": information, "entropy": [1.0, 1.0]},
                notes=(f"note {NASTY}",),
            ),
            score("DCI disentanglement", 0.5, baselines=beside, parts={"importance": information}),
            score("Fréchet distance", 1234.5, baselines={"other data": 10.0}),
        ],
        "not_applicable": [],
        "notes": [],
        "codes": {"names": ["layer 1 · #1", NASTY, "code 3"], "kl": [1.5, 0.5, 0.0], "variance": [1, 1, 0]}
        | {"active": [True, True, False]},
        "directions": {
            "discoverer": "subspace",
            "count": 3,
            "positions": [-3.0, 0.0, 3.0],
            "all": [
                {"name": NASTY, "activeness": 0.1, "latent": 0, "doubts": ["repeated: its axes are arbitrary"]},
                {"name": "b", "activeness": 0.2, "latent": 1, "doubts": [], "moves": NASTY, "purity": 0.875},
            ],
            "shown": [1, 0],
            "collapsed": ["layer 3"],
        },
        "versions": {"torch": "2"},
        "seconds": {"MIG": 1.5},
        "created": "2026-01-02T03:04:05+00:00",
        "command": f"disentangle evaluate {NASTY}",
    } | changes


@pytest.fixture
def pictures() -> Pictures:
    draw = torch.Generator().manual_seed(0)

    def some(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, 1, 8, 8), generator=draw).byte()

    return Pictures(some(16), some(16), (some(24), some(24)), [some(3), some(3)])


HISTORY = [{"step": 1, f"vae/{NASTY}": 2.0}, {"step": 2, f"vae/{NASTY}": 1.0}]
CONFIG = {"recipe": {"summary": NASTY, "steps": 5_000, "name": NASTY}}


class Reader(HTMLParser):
    """Collects tags, checks that they are closed in order, and keeps what is visible."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID and not (self.get_starttag_text() or "").endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_stands_alone_and_is_safe(pictures: Pictures) -> None:
    page = render(make_report(), pictures, HISTORY, CONFIG)
    reader = read(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    sources = [attributes["src"] or "" for tag, attributes in reader.tags if tag == "img"]
    assert len(sources) == 5  # samples, data, pairs, two strips
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(attributes.get("alt") for tag, attributes in reader.tags if tag == "img")
    # run, data set, factor, code, direction, scalar, recipe, note and command: all shown, none obeyed
    assert reader.text.count(NASTY) >= 9


def test_the_page_says_the_numbers(pictures: Pictures) -> None:
    text = " ".join(read(render(make_report(), pictures, HISTORY, CONFIG)).text.split())
    for words in ("0.432", "0.400 – 0.460", "0.100 ± 0.020", "1,234", "after step 12,000", "2 of 3 codes are in use"):
        assert words in text
    for words in ("0.200 · moves", "88% of all that it moves", "0.100 · repeated: its axes are arbitrary"):
        assert words in text
    for words in ("Generated pictures beside the data", "Reconstructions", "What the directions do", "Training"):
        assert words in text
    for words in ("rotated this run's codes", "other data as many other pictures", "standard deviation over rotations"):
        assert words in text
    assert "mean picture" not in text  # which this report does not have


def test_a_generator_without_an_encoder_has_no_empty_sections(pictures: Pictures) -> None:
    reason = "needs codes of pictures, and this generator has no encoder"
    absent = [{"name": name, "reason": reason} for name in ("MIG", "DCI")]
    report = make_report(codes=None, not_applicable=absent, scores=[score("Fréchet distance", 1.0)])
    text = read(render(report, Pictures(pictures.samples, pictures.data, None, pictures.strips), [], CONFIG)).text
    assert f"No MIG or DCI: that {reason}." in text
    for heading in ("Reconstructions", "Which code knows which factor", "Training"):
        assert heading not in text


def test_pictures_are_in_the_page_pixel_by_pixel(pictures: Pictures) -> None:
    page = render(make_report(), pictures, HISTORY, CONFIG)
    images = [Image.open(io.BytesIO(base64.b64decode(code))) for code in re.findall(r"base64,([^\"]+)", page)]
    samples, _, pairs, strong, _ = [np.asarray(image) for image in images]
    assert samples.shape == (8 * 2 + 2, 8 * 8 + 2 * 7, 2)  # eight across, two rows; grey and alpha
    assert (samples[:8, 10:18, 0] == pictures.samples[1, 0].numpy()).all()
    assert (samples[:, 8:10, 1] == 0).all()  # gaps are transparent
    assert (samples[:8, :8, 1] == 255).all()
    originals, back = pictures.pairs or (torch.empty(0), torch.empty(0))
    assert (pairs[:8, :8, 0] == originals[0, 0].numpy()).all()
    assert (pairs[10:18, :8, 0] == back[0, 0].numpy()).all()
    assert (pairs[20:28, :8, 0] == originals[12, 0].numpy()).all()
    assert (strong[:, :8, 0] == pictures.strips[0][0, 0].numpy()).all()


def test_colour_sheets_have_transparent_gaps_too() -> None:
    white = torch.full((3, 3, 4, 4), 255, dtype=torch.uint8)
    pixels = np.asarray(sheet(white, 2))
    assert pixels.shape == (10, 10, 4)
    assert (pixels[:4, :4] == 255).all()
    assert (pixels[:4, 4:6, 3] == 0).all()
    assert (pixels[6:, 6:, 3] == 0).all()  # where the last row is short


def test_columns_of_the_matrices_are_in_order_and_shares_of_entropy(pictures: Pictures) -> None:
    report = make_report()
    report["scores"][0]["parts"] = {
        "mutual_information": [[0.0, 0.5], [2.0, 0.0], [0.0, 0.0]],
        "entropy": [4.0, 1.0],
    }
    report["scores"][1]["parts"] = {"importance": [[0.0, 0.9], [0.8, 0.0], [0.0, 0.0]]}
    tables = re.findall(r'<table class="heat".*?</table>', render(report, pictures, [], CONFIG), re.DOTALL)
    cells = [re.findall(r"<td class=[^>]*>([\d.]+)</td>", table) for table in tables]
    assert cells == [["0.50", "0.00", "0.00", "0.50"], ["0.80", "0.00", "0.00", "0.90"]]


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.2, 0.3), "more"),
        ((0.12, 0.3), "not clearly more"),
        ((0.001, 0.01), "less"),
        ((0.05, 0.1), "not clearly more"),
    ],
)
def test_the_verdict_is_about_rotated_codes(interval: tuple[float, float], word: str) -> None:
    report = make_report()
    report["scores"][0]["interval"] = interval
    assert f"codes are {word} disentangled than" in verdict(report)
    assert verdict(make_report(scores=[])) == ""


@pytest.mark.parametrize(
    ("value", "interval", "better", "words"),
    [
        (0.5, (0.45, 0.55), "higher", "Better than rotated and noise; worse than perfect."),
        (0.5, (0.45, 0.55), "lower", "Better than perfect; worse than rotated and noise."),
        (0.16, (0.15, 0.17), "higher", "Better than noise; worse than perfect; not clearly apart from rotated."),
        (0.3, (0.0, 0.9), "higher", "Not clearly apart from perfect, rotated and noise."),
        (
            0.5,
            None,
            "lower",
            "Better than perfect; worse than rotated and noise, by the numbers alone: there is no interval.",
        ),
        (0.5, (0.45, 0.55), "", ""),
    ],
)
def test_how_a_score_stands_to_its_reference_points_is_said_by_one_rule(
    value: float, interval: tuple[float, float] | None, better: str, words: str
) -> None:
    points = {"perfect": 0.9, "rotated": 0.1, "noise": 0.01}
    # of three rotations 0.02 apart the 95 % interval reaches 4.3027 times as far
    one = score("SAP", value, interval=interval, baselines=points, spreads={"rotated": 0.02}) | {"better": better}
    one["settings"] = {"rotations": 3}
    assert standing(one) == words
    assert standing(score("SAP", value, interval=interval)) == ""


def test_a_point_drawn_once_is_as_uncertain_as_the_score_and_a_known_one_is_not() -> None:
    for value, point, found in ((0.13, "noise", "not clear"), (0.131, "noise", "better"), (0.12, "chance", "better")):
        one = score("SAP", value, interval=(value - 0.015, value + 0.015), baselines={point: 0.1})
        assert stand(one, point) == found
    assert stand(score("UDR", 0.2, baselines={"noise": 0.1}), "noise") == "better"


def test_the_verdict_is_about_every_score_that_has_rotated_codes() -> None:
    points = {"perfect": 0.9, "rotated": 0.1, "noise": 0.01}
    scores = [
        score(name, value, interval=(value - 0.01, value + 0.01), baselines=points, spreads={"rotated": 0.001})
        for name, value in (("SAP", 0.5), ("IRS", 0.4), ("DCI completeness", 0.1), ("Modularity", 0.02))
    ]
    report = make_report(scores=[*scores, score("Fréchet distance", 5.0, interval=(4.0, 6.0))])
    assert verdict(report) == (
        "Beside the same codes rotated it is better in SAP and IRS; worse in Modularity; not clearly apart in DCI "
        "completeness."
    )


def test_a_warning_is_on_the_card_of_its_score_and_the_legend_above_them(pictures: Pictures) -> None:
    report = make_report(notes=["about all of it"])
    page = render(report, pictures, HISTORY, CONFIG)
    first, second, *_ = re.findall(r'<article class="card rows">.*?</article>', page, re.DOTALL)
    assert "note &lt;script&gt;" in first
    assert "note" not in second
    assert page.count("note &lt;script&gt;") == 1
    assert page.index("about all of it") < page.index('<p class="legend">') < page.index('<section class="cards">')


def test_names_of_codes_have_room(pictures: Pictures) -> None:
    report = make_report()
    report["codes"]["names"] = ["layer 1 · #10", "code 12", "leans to the left"]
    page = render(report, pictures, [], CONFIG)
    # The third knows nothing: it is below the bars, and not in the two matrices.
    assert [page.count(f">{name}<") for name in ("1·#10", "12", "leans to the left")] == [3, 3, 1]
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="91"', page)]
    assert places[1] - places[0] == places[2] - places[1] >= 6 * len("leans to the left")


def test_scalars_become_charts() -> None:
    history = [
        {"step": 1, "vae/loss": 9.0, "vae/rank": 4.0, "vae/o/blocks.0": 1.0, "vae/o/blocks.1": 2.0, "time": 5.0},
        {"step": 2, "vae/loss": 8.0, "vae/rank": 4.0, "vae/o/blocks.0": 1.5, "vae/o/blocks.1": 2.5, "time": 6.0},
        {"step": 2, "vae/loss": 7.0, "vae/name": "text"},
        {"vae/loss": 0.0},
    ]
    assert scalars(history) == {
        "vae/loss": {"vae/loss": [(1.0, 9.0), (2.0, 7.0)]},
        "vae/o": {"vae/o/blocks.0": [(1.0, 1.0), (2.0, 1.5)], "vae/o/blocks.1": [(1.0, 2.0), (2.0, 2.5)]},
    }


def test_facts_of_a_recipe() -> None:
    config = {"data": {"name": "sprites", "root": None, "flip": False}, "betas": [0.5, 0.99], "steps": 50_000}
    assert facts(config) == [
        ("data.name", "sprites"),
        ("data.flip", "no"),
        ("betas", "0.5, 0.99"),
        ("steps", "50,000"),
    ]


def test_written_whole(tmp_path: Path) -> None:
    write(tmp_path, make_report(), "<p>page</p>")
    assert json.loads((tmp_path / "report.json").read_text()) == make_report()
    assert (tmp_path / "report.html").read_text() == "<p>page</p>"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize("failing", [".report.html.", ".report.json."])
def test_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    write(tmp_path, make_report(), "old")
    before = (tmp_path / "report.json").read_bytes()
    real = report_module.write_atomic

    def full(path: Path, data: str) -> None:
        if path.name.startswith(failing):
            raise UserError(f"cannot write {path}: No space left on device")
        real(path, data)

    monkeypatch.setattr(report_module, "write_atomic", full)
    with pytest.raises(UserError, match="No space left"):
        write(tmp_path, make_report(seed=4), "new")
    assert (tmp_path / "report.html").read_text() == "old"
    assert (tmp_path / "report.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_two_writers_do_not_stumble_over_each_other(tmp_path: Path) -> None:
    def write_all(word: str) -> None:
        for _ in range(20):
            report_module.write_together(tmp_path, dict.fromkeys("ab", word))

    def take_turns(word: str) -> None:
        for _ in range(10):
            with locked(tmp_path, wait=True):
                report_module.write_together(tmp_path, dict.fromkeys("ab", word))
                assert [(tmp_path / name).read_text() for name in "ab"] == [word] * 2

    for work in (write_all, take_turns):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, ["one", "other"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"], "nothing is left"


def test_no_number_that_json_cannot_hold(tmp_path: Path) -> None:
    write(tmp_path, make_report(), "old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path, make_report(seed=float("nan")), "new")
    assert (tmp_path / "report.html").read_text() == "old"


def test_the_table_fits_a_terminal() -> None:
    file = io.StringIO()
    show(make_report(run="sprites"), Path("/a/long/path/to/a/run/report.html"), file)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    mig = next(line for line in lines if line.strip().startswith("MIG"))
    assert re.search(r"0\.432 .*perfect 0\.900 · rotated 0\.100 · noise 0\.010", mig)
    assert lines[-1].endswith("/a/long/path/to/a/run/report.html")
    assert NASTY in file.getvalue()
