"""What the app answers to pages and programs, and what it tells them."""

import base64
import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from gradio_client import Client

from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, picture
from disentangle.apps.traverse import blocks, compare, launch, scores
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil
from tests.apps.traverse.acts import joined
from tests.runs import recorded_run

EVIL = "<img src=x onerror=alert(1)>"
PREFIX = "data:image/png;base64,"
HOST = "127.0.0.1"


def test_address_api_and_studio_give_the_same_bytes(app: httpx.Client, client: Client, runs: Path) -> None:
    edit = Edit("grey", "weights", ((1, 2.0), (4, -1.5)), seed=3, truncation=0.7)
    view = Studio(runs).open("grey", "weights")
    expected = png_bytes(to_pil(picture(view, edit)))
    answer = app.get(f"/picture.png?{edit.to_query()}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == expected
    ways: list[Any] = [
        [0.0, 2.0, 0.0, 0.0, -1.5],
        {"1": 2.0, "4": -1.5},
        {view.directions.labels[1]: 2.0, view.directions.labels[4]: -1.5},
    ]
    for coordinates in ways:
        made = client.predict("grey", 3, "weights", coordinates, truncation=0.7, api_name="/render")
        assert base64.b64decode(made.removeprefix(PREFIX)) == expected
    plain = client.predict("grey", 3, "weights", [], weights=view.weights[:8], api_name="/render")
    assert base64.b64decode(plain.removeprefix(PREFIX)) != expected


def test_what_is_known_of_directions(client: Client) -> None:
    known = client.predict("grey", "weights", api_name="/directions")
    assert (known["run"], known["directions"], known["latents"], len(known["entries"])) == ("grey", "weights", 26, 18)
    assert [entry["place"] for entry in known["entries"]] == list(range(18))
    assert sorted(entry["rank"] for entry in known["entries"]) == list(range(1, 19))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("../grey", 0, "weights", []), "is no name"),
        (("grey", -1, "weights", []), "seed must lie between"),
        (("grey", 1.5, "weights", []), "whole number"),
        (("grey", 10**400, "weights", []), "far too large"),
        (("grey", 0, "weights", [1.0] * 19), "19 coordinates for 18 directions"),
        (("grey", 0, "weights", [1e30]), "between -10 and 10"),
        (("grey", 0, "weights", ["x"]), "finite number"),
        (("grey", 0, "weights", "1,2"), "a list of numbers or a mapping"),
        (("grey", 0, "weights", {"nose": 1.0}), "unknown direction 'nose'"),
        (("grey", 0, "weights", {"99": 1.0}), "no direction 99"),
        (("grey", 0, "magic", []), "no directions 'magic'"),
        (("hurt", 0, "weights", []), "damaged"),
        (("grey", 0, "weights", [], 1.0, "../secret"), "is no name"),
        (("grey", 0, "weights", [], 1.0, "", "beef"), "other weights"),
        (("grey", 0, "weights", [1.0], 1.0, "", "", "beef"), "other directions"),
    ],
)
def test_programs_are_told_what_is_wrong(client: Client, given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(Exception, match=said):
        client.predict(*given, api_name="/render")


def called(app: httpx.Client, name: str, data: list[Any]) -> str:
    """What a plain request to the API is answered."""
    event = app.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    return app.get(f"/gradio_api/call/{name}/{event}").text


@pytest.mark.parametrize("numbers", ["[NaN], 1.0", "[1e999], 1.0", "[-Infinity], 1.0", "[], NaN"])
def test_numbers_that_are_none_in_json_are_told(app: httpx.Client, numbers: str) -> None:
    data = f'{{"data": ["grey", 0, "weights", {numbers}, "", "", ""]}}'
    called = app.post("/gradio_api/call/render", content=data, headers={"content-type": "application/json"})
    answer = app.get(f"/gradio_api/call/render/{called.json()['event_id']}")
    assert "event: error" in answer.text
    assert "must be a finite number" in answer.text


def test_a_raw_request_may_leave_out_what_has_a_default(app: httpx.Client) -> None:
    whole = called(app, "render", ["grey", 3, "weights", [1.5], 1.0, "", "", ""])
    assert PREFIX in whole
    assert called(app, "render", ["grey", 3, "weights", [1.5]]) == whole
    assert '"directions": "subspace"' in called(app, "directions", ["grey"])
    said = called(app, "render", ["grey", 3])
    assert "event: error" in said
    assert "2 inputs are too few: expected at least 4 of run, seed, directions, coordinates, truncation" in said


def test_what_a_visitor_got_wrong_is_no_defect_on_the_terminal(
    app: httpx.Client, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[tuple[str, list[Any]]] = [
        ("render", []),
        ("render", ["grey", 0, "weights", [1.0] * 19]),
        ("render", ["gone", 0, "x", []]),
    ]
    for kind, data in wrong:
        assert "event: error" in called(app, kind, data)
    config = app.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    wanted = [ids["picture-run"], ids["picture-file"]]
    invert = next(each["id"] for each in config["dependencies"] if each["inputs"][:2] == wanted)
    assert "not in the list of choices" in joined(app, invert, ["gone", None, 3])
    assert "Traceback" not in "".join(capfd.readouterr())

    def broken(*_: object) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr(blocks, "complete", broken)
    assert "event: error" in called(app, "render", ["grey", 0, "weights", []])
    assert "TypeError: a defect" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/picture.png", 400, "names no run"),
        ("/picture.png?run=..", 400, "is no name"),
        ("/picture.png?run=%2E%2E%2Fgrey", 400, "is no name"),
        ("/picture.png?run=grey&move=0:nan", 400, "must lie between"),
        ("/picture.png?run=grey&move=0:1e30", 400, "must lie between"),
        ("/picture.png?run=grey&move=400:1", 400, "no direction 400"),
        ("/picture.png?run=gone", 400, "no run 'gone'"),
        ("/picture.png?run=hurt", 400, "damaged"),
        ("/picture.png?run=grey&weights=beef", 400, "other weights"),
        ("/picture.png?run=grey&move=0:1&basis=beef", 400, "other directions"),
        ("/picture.png?run=grey&seen=before", 409, "have changed since"),
        ("/picture.png?run=grey&picture=..%2F..%2Fsecret", 400, "is no name"),
        ("/original.png?run=grey", 400, "name a picture"),
        ("/app/strip?run=grey&along=18", 400, "0 to 17"),
        ("/app/strip?run=grey&along=-1", 400, "0 to 17"),
        ("/app/strip?run=grey&along=0&seeds=" + "1," * 9, 400, "8 whole numbers"),
        ("/loop.gif?run=grey&along=x", 400, "0 to 17"),
        ("/app/run?run=hurt", 400, "damaged"),
        ("/app/scores?run=..%2F..", 400, "no run"),
        ("/picture.png?run=" + "a" * 20_000, 414, "too long"),
    ],
)
def test_pages_are_told_what_is_wrong(app: httpx.Client, address: str, status: int, said: str) -> None:
    answer = app.get(address)
    assert answer.status_code == status
    assert said in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text) < 500


def test_a_direction_is_named_by_pages_only_and_escaped(app: httpx.Client, client: Client, runs: Path) -> None:
    view = app.get("/app/run?run=colour&directions=weights").json()
    body = {"run": "colour", "directions": "weights", "seen": view["seen"], "place": 2, "name": EVIL, "note": EVIL}
    plain = app.post("/app/name", content=json.dumps(body), headers={"content-type": "text/plain"})
    assert (plain.status_code, plain.text) == (400, "expected application/json")
    for damaged in ("{", "[]", '{"run": "colour"}', json.dumps(body | {"place": True}), "[" * 4_000):
        answer = app.post("/app/name", content=damaged, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 403), damaged[:40]
    assert app.post("/app/name", json=body | {"seen": "before"}).status_code == 409
    named = app.post("/app/name", json=body).json()
    assert named["seen"] == view["seen"]
    assert named["note"] == ""
    assert "<img" not in named["html"]
    assert "&lt;img src=x" in named["html"]
    entry = client.predict("colour", "weights", api_name="/directions")["entries"][2]
    assert (entry["label"], entry["note"]) == (EVIL, EVIL)
    beside = app.get("/app/compare?run1=colour&directions1=weights&run2=grey").json()["html"]
    assert "<img" not in beside
    assert "&lt;img src=x" in beside


def test_sliders_are_grouped_by_layer_and_those_that_do_nothing_folded(app: httpx.Client) -> None:
    view = app.get("/app/run?run=grey&directions=subspace").json()
    assert view["count"] == view["html"].count('type="range"') == 18
    layers = {row["layer"] for row in view["rows"]}
    still = view["html"].count("Hardly change the picture")
    assert view["html"].count('class="d-layer"') <= len(layers)
    assert still <= 1
    assert [row["rank"] for row in view["rows"]] == list(range(1, 19))


def test_a_link_for_other_weights_says_so(app: httpx.Client) -> None:
    assert app.get("/app/run?run=grey").json()["problem"] == ""
    problem = app.get("/app/run?run=grey&weights=beef").json()["problem"]
    assert problem.startswith("This picture of grey was made with other weights (beef)")


def test_strip_and_files(app: httpx.Client) -> None:
    strip = app.get("/app/strip?run=grey&directions=subspace&along=0&seed=5&seeds=6,7").json()
    assert [row["start"] for row in strip["rows"]] == ["seed 5", "seed 6", "seed 7"]
    for row, seed in zip(strip["rows"], (5, 6, 7)):
        for position, source in zip(strip["positions"], row["pictures"], strict=True):
            one = app.get(f"/picture.png?run=grey&directions=subspace&move=0:{position}&seed={seed}")
            assert base64.b64decode(source.removeprefix(PREFIX)) == one.content
    for name, magic in (("strip.png", b"\x89PNG"), ("grid.png", b"\x89PNG"), ("loop.gif", b"GIF8")):
        answer = app.get(f"/{name}?run=grey&directions=subspace&along=0&seeds=1")
        assert answer.content.startswith(magic)
        assert answer.headers["content-disposition"].startswith('attachment; filename="grey-seed0-0-')


def test_two_runs_of_different_sizes_are_compared(app: httpx.Client) -> None:
    both = app.get("/app/compare?run1=grey&directions1=subspace&run2=colour&directions2=subspace").json()
    assert [side["run"] for side in both["sides"]] == ["grey", "colour"]
    assert "rank 1" in both["html"]
    assert both["html"].count("data-places") >= 1


def test_no_runs_say_what_to_type(tmp_path: Path) -> None:
    from disentangle.apps.traverse.panel import runs as listed

    said = listed(Studio(tmp_path / EVIL))
    assert said["runs"] == []
    assert "disentangle train scenes-beta-tcvae" in said["empty"]
    assert "<img" not in said["empty"]


def test_scores_or_what_to_type(tmp_path: Path) -> None:
    rows = [{"step": 10 * i, "log10_kappa/layer 1": 2.0 + 0.1 * i} for i in range(5)]
    run = recorded_run(tmp_path / "run", rows=rows)
    empty = scores.tab(run)
    assert not empty["scored"]
    assert f"disentangle evaluate {run.path}" in empty["html"]
    assert "2.40 in the end" in empty["html"]
    for damaged in ("", "[]", '{"scores": 3}', '{"version": 2}', "[" * 100_000, "\0"):
        (run.path / "report.json").write_text(damaged)
        told = scores.tab(run)
        assert not told["scored"]
        assert "cannot be shown" in told["html"]
    run.metrics_path.write_text("")
    assert "--conditioning-every" in scores.tab(run)["html"]


def test_only_pictures_that_stay_the_same_are_kept_by_browsers(app: httpx.Client) -> None:
    weights = app.get("/app/run?run=grey").json()["weights"]
    for query, kept in ((f"weights={weights}", True), (f"weights={weights}&move=0:1", False), ("seed=1", False)):
        control = app.get(f"/picture.png?run=grey&{query}").headers["cache-control"]
        assert (control == "private, max-age=600") == kept, query
        assert kept or control == "no-store"


def test_what_moves_a_factor_most_is_compared_and_what_does_nothing_is_not(runs: Path) -> None:
    view = Studio(runs).open("grey", "subspace")
    found = view.directions
    effects = torch.zeros(len(found), 2)
    effects[:, 0] = torch.linspace(0.2, 0.9, len(found))
    effects[3, 1] = 1.0
    activeness = torch.ones(len(found))
    activeness[[0, 17]] = 0.0
    found = dataclasses.replace(
        found, factors=("hue", "size"), effects=effects, activeness=activeness, readable=torch.ones(2)
    )
    view = dataclasses.replace(view, directions=found, order=tuple(found.ranking()))
    assert (compare.best(view, "hue"), compare.best(view, "size"), compare.best(view, "shape")) == (16, 3, None)
    ranks, factors = compare.pairs(view, view)
    assert len(ranks) == 16
    assert not {0, 17} & {side["place"] for row in ranks for side in row["sides"]}
    assert [row["label"] for row in factors] == ["hue", "size"]


def test_a_slider_moves_both_runs_the_same_way(app: httpx.Client, runs: Path) -> None:
    view = Studio(runs).open("grey", "subspace")
    found = view.directions
    signs = torch.where(torch.arange(len(found)) % 2 == 0, -1.0, 1.0)
    round_ = dataclasses.replace(found, vectors=signs[:, None] * found.vectors)
    other = dataclasses.replace(view, directions=round_)
    for row in compare.pairs(view, other)[0]:
        one, two = row["sides"]
        assert one["place"] == two["place"]
        assert not one["turned"]
        assert two["turned"] == (two["place"] % 2 == 0)
    assert not compare.turned(view, 0, other, 1), "what has nothing in common has no way in common"
    # Of a number it is known which way it moves, whatever the vectors say.
    spans = torch.full((len(found), 2, 2), torch.nan)
    spans[:, 0] = torch.tensor([-0.2, 0.3])
    effects = torch.tensor([[1.0, 0.0]]).expand(len(found), 2)
    seen = {"factors": ("size", "hue"), "effects": effects, "readable": torch.ones(2)}
    rises = dataclasses.replace(view, directions=dataclasses.replace(found, spans=spans, **seen))
    falls = dataclasses.replace(other, directions=dataclasses.replace(round_, spans=-spans, **seen))
    assert compare.turned(rises, 1, falls, 1, "size")
    level = dataclasses.replace(other, directions=dataclasses.replace(round_, spans=spans, **seen))
    assert not compare.turned(rises, 0, level, 0, "size")
    assert compare.turned(rises, 0, falls, 0, "hue"), "by the vectors"
    ranked = [[row["sides"][1]["turned"] for row in compare.pairs(rises, each)[0]] for each in (falls, level)]
    assert all(ranked[0]), "by rank, too, where both move one factor"
    assert not any(ranked[1])
    round_.save(runs / "grey" / "directions" / "round")
    html = app.get("/app/compare?run1=grey&directions1=subspace&run2=grey&directions2=round").json()["html"]
    shown = int((~found.still).sum())
    assert 0 < html.count("turned round, to move the same way") == html.count(" data-turned>") < shown


def test_a_name_that_somebody_else_gave_is_not_overwritten(app: httpx.Client) -> None:
    view = app.get("/app/run?run=colour&directions=coordinate").json()
    body = {"run": "colour", "directions": "coordinate", "seen": view["seen"], "place": 1, "was": ["", ""], "note": ""}
    assert app.post("/app/name", json=body | {"name": "mine"}).status_code == 200
    answer = app.post("/app/name", json=body | {"name": "yours"})
    assert (answer.status_code, "called it 'mine'" in answer.text) == (409, True)
    assert app.post("/app/name", json=body | {"name": "ours", "was": ["mine", ""]}).status_code == 200


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is in use.*--port 0"):
            launch.launch(tmp_path, port)
    with pytest.raises(UserError, match="--port 70000 is no port"):
        launch.launch(tmp_path, 70000)
    assert 0 < launch.free_port(0) < 65536


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch.main(["--help"])
    assert "example: disentangle app" in capsys.readouterr().out
