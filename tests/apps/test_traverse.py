"""The app over HTTP, without a browser: what it answers, what it refuses, and that it lives on."""

import base64
import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import torch
from fastapi import Response
from fastapi.testclient import TestClient
from gradio import Request
from gradio_client import Client

from disentangle.apps.edit import Edit
from disentangle.apps.studio import Studio, picture
from disentangle.apps.traverse import compare, finder, guard, launch, scores, server
from disentangle.apps.traverse.guard import LARGEST_BODY, LARGEST_UPLOAD
from disentangle.apps.traverse.routes import WAITING, Room
from disentangle.apps.traverse.work import Job, Stopped, Work
from disentangle.directions import Directions, Progress
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil
from disentangle.training.run import Run
from tests.runs import gan_run, recorded_run, vae_run

EVIL = "<img src=x onerror=alert(1)>"
PREFIX = "data:image/png;base64,"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one that is damaged, and a secret beside them."""
    folder = tmp_path_factory.mktemp("app") / "runs"
    gan_run(folder / "grey")
    vae_run(folder / "colour")
    next(gan_run(folder / "hurt").path.glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    (folder.parent / "secret.txt").write_text("a secret")
    return folder


@pytest.fixture(scope="module")
def app(runs: Path) -> Iterator[httpx.Client]:
    """The app as it is served."""
    serving = launch.launch(runs, 0, block=False)
    with httpx.Client(base_url=serving.local_url, timeout=60, trust_env=False) as client:
        yield client
    serving.close()


@pytest.fixture(scope="module")
def client(app: httpx.Client) -> Client:
    """What programs use."""
    return Client(str(app.base_url), verbose=False)


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


@pytest.mark.parametrize("numbers", ["[NaN], 1.0", "[1e999], 1.0", "[-Infinity], 1.0", "[], NaN"])
def test_numbers_that_are_none_in_json_are_told(app: httpx.Client, numbers: str) -> None:
    data = f'{{"data": ["grey", 0, "weights", {numbers}, "", "", ""]}}'
    called = app.post("/gradio_api/call/render", content=data, headers={"content-type": "application/json"})
    answer = app.get(f"/gradio_api/call/render/{called.json()['event_id']}")
    assert "event: error" in answer.text
    assert "must be a finite number" in answer.text


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


HOST = "127.0.0.1"
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"host": "evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "0.0.0.0"},
    {"host": ""},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    {"host": "127.0.0.1:evil.example"},
    {"origin": "http://["},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/picture.png?run=grey"),
        ("GET", "/config"),
        ("POST", "/app/name"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/call/render"),
        ("OPTIONS", "/gradio_api/call/render"),
    ],
)
def test_other_sites_get_nothing(app: httpx.Client, method: str, path: str, headers: dict[str, str]) -> None:
    answer = app.request(method, path, headers={**headers, "access-control-request-method": "POST"})
    assert answer.status_code == 403
    assert answer.text == "this server answers pages of its own only"
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_page_itself_is_its_own(app: httpx.Client) -> None:
    address = str(app.base_url).rstrip("/")
    for headers in ({"origin": address}, {"sec-fetch-site": "same-origin"}, {}):
        answer = app.get("/", headers=headers)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "https://" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    clicked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert app.get("/?run=grey", headers=clicked).status_code == 200
    assert app.get("/loop.gif?run=grey&along=0", headers=clicked).status_code == 403
    said = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "x-gradio-server": "http://evil.example"}
    forwarded = app.get("/config", headers=said)
    assert "evil.example" not in forwarded.text
    port = app.base_url.port
    assert app.get("/", headers={"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}).status_code == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "{runs}/../secret.txt", "{runs}/grey/config.json", __file__])
@pytest.mark.parametrize(
    "route",
    [
        "/gradio_api/file={path}",
        "/gradio_api/file/{path}",
        "/file={path}",
        "/file/{path}",
        "/gradio_api/stream/{path}",
        "/gradio_api/proxy={path}",
        "/gradio_api/proxy=file://{path}",
        "/static/../../../../../../..{path}",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{path}",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2f{path}",
        "/svelte/..%2f..%2f..%2f..%2f..%2f..%2f..%2f{path}",
        "/custom_component/x/y/{path}",
        "{path}",
        "/..%2f..%2f..%2f..%2f{path}",
        "/picture.png?run={path}",
        "/original.png?run=grey&picture={path}",
        "/app/scores?run={path}",
    ],
)
def test_no_file_can_be_read(app: httpx.Client, runs: Path, route: str, path: str) -> None:
    asked = route.format(path=path.format(runs=runs))
    with socket.create_connection((HOST, app.base_url.port)) as raw:  # as it is: clients tidy up dots
        raw.sendall(f"GET {asked} HTTP/1.1\r\nHost: {HOST}:{app.base_url.port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := raw.recv(65536):
            answer += part
    assert answer.split()[1] in (b"400", b"403", b"404", b"405", b"307", b"422", b"500"), answer[:300]
    for secret in (b"root:", b"a secret", b"no file can be read", b'"recipe"'):
        assert secret not in answer


def joined(app: httpx.Client, function: int, data: list[Any]) -> str:
    """What Gradio's queue answers to data that a page sends."""
    session = "0123456789a"
    body = {"data": data, "fn_index": function, "session_hash": session, "trigger_id": None, "event_data": None}
    answer = app.post("/gradio_api/queue/join", json=body)
    if answer.status_code != 200:
        return answer.text
    said = ""
    with app.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            said += line
            if "process_completed" in line or "close_stream" in line:
                break
    return said


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}])
@pytest.mark.parametrize("place", ["run", "picture"])
def test_a_request_names_no_file_that_was_not_uploaded(
    app: httpx.Client, runs: Path, place: str, meta: dict[str, Any]
) -> None:
    config = app.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    wanted = [ids["picture-run"], ids["picture-file"]]
    invert = next(each["id"] for each in config["dependencies"] if each["inputs"][:2] == wanted)
    render = next(each["id"] for each in config["dependencies"] if each["api_name"] == "render")
    for path in (runs.parent / "secret.txt", "/dev/zero", "http://127.0.0.1:1/x.png", "../secret.txt", "/etc/passwd"):
        file = {"path": str(path), **meta}
        given = [file, None, 0] if place == "run" else ["grey", file, 0]
        for said in (joined(app, invert, given), joined(app, render, ["grey", 0, "auto", [], 1, file, "", ""])):
            assert said == "a request may name no file but those that were uploaded"
    nested = {"data": ["grey", 0, "auto", [{"x": {"path": "/etc/passwd", **meta}}], 1.0, "", "", ""]}
    assert app.post("/gradio_api/call/render", json=nested).status_code == 403
    assert app.get("/picture.png?run=grey").status_code == 200


def test_a_file_is_not_hidden_by_depth_or_another_type(app: httpx.Client, runs: Path) -> None:
    file = f'{{"path": "{runs.parent / "secret.txt"}", "meta": {{"_type": "gradio.FileData"}}}}'
    for depth in (*range(900, 1000, 3), 5000):
        body = f'{{"data": ["grey", {file}, 1], "fn_index": 4, "session_hash": "abc", "x": {"[" * depth}{"]" * depth}}}'
        assert app.post("/gradio_api/queue/join", content=body).status_code == 403, depth
    for encoding, kind in (("utf-16", "text/plain"), ("utf-8-sig", "application/json"), ("utf-32", "x/y")):
        headers = {"content-type": kind}
        body = f'{{"data": ["grey", 0, "auto", [], 1, {file}, "", ""]}}'
        assert app.post("/gradio_api/call/render", content=body.encode(encoding), headers=headers).status_code == 403
    long = {"data": [], "fn_index": 0, "session_hash": "a" * 1000}
    assert app.post("/gradio_api/queue/join", json=long).status_code == 403


def test_uploads_have_bounds_in_time_and_size(
    app: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    assert uploads.stat().st_mode & 0o077 == 0
    (uploads / "tmpbroken").write_bytes(b"half")
    os.utime(uploads / "tmpbroken", (0, 0))
    (uploads / "tmpunderway").write_bytes(b"half")
    sent = {"files": ("x.png", b"a")}
    assert app.post("/gradio_api/upload", files=sent).status_code == 200
    assert not (uploads / "tmpbroken").exists()
    assert (uploads / "tmpunderway").exists(), "what is younger may still be under way"
    (uploads / "tmpunderway").unlink()
    monkeypatch.setattr(guard, "MOST_UPLOADED", 1)
    assert app.post("/gradio_api/upload", files=sent).status_code == 507
    monkeypatch.setattr(guard, "BODY_PATIENCE", 0.3)
    with socket.create_connection((HOST, app.base_url.port)) as raw:
        raw.settimeout(20)
        raw.sendall(
            f"POST /app/name HTTP/1.1\r\nHost: {HOST}:{app.base_url.port}\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        assert raw.recv(65536).startswith(b"HTTP/1.1 408")


def test_gradio_looks_at_paths_too(runs: Path, tmp_path: Path) -> None:
    """Were the guard not there."""
    (tmp_path / "x.txt").write_text("x")
    page, _ = server.application(Studio(runs), "127.0.0.1", 0)
    with TestClient(page) as alone:
        file = {"path": str(tmp_path / "x.txt"), "meta": {"_type": "gradio.FileData"}}
        called = alone.post("/gradio_api/call/render", json={"data": ["grey", 0, "auto", [], 1.0, file, "", ""]})
        answer = alone.get(f"/gradio_api/call/render/{called.json()['event_id']}").text
    assert "event: error" in answer
    assert "not uploaded by a user" in answer


def test_a_connection_that_says_nothing_is_closed(app: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_PATIENCE", 0.3)
    whole = f"GET /picture.png?run=grey HTTP/1.1\r\nHost: {HOST}:{app.base_url.port}\r\n\r\n".encode()
    for said in ((b"",), (b"GET / HTTP/1.1\r\nHost: 127",), (whole, b"GET /")):
        with socket.create_connection((HOST, app.base_url.port)) as raw:
            raw.settimeout(20)
            for part in said:
                raw.sendall(part)
                if part == whole:
                    assert raw.recv(65536).startswith(b"HTTP/1.1 200")
            while raw.recv(65536):
                pass


def test_bodies_are_bounded(app: httpx.Client) -> None:
    huge = b'{"data": ["' + b"a" * 10 * 2**20 + b'"]}'
    answer = app.post("/gradio_api/call/render", content=huge, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert f"{LARGEST_BODY:,}" in answer.text

    def unending() -> Iterator[bytes]:
        for _ in range(20):
            yield b"a" * 2**18

    answer = app.post("/app/name", content=unending(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    sent = {"files": ("x.png", b"a" * (LARGEST_UPLOAD + 2**21))}
    assert app.post("/gradio_api/upload", files=sent).status_code == 413
    sent = {"files": ("x.png", b"a" * (LARGEST_UPLOAD + 2**19))}
    assert app.post("/gradio_api/upload", files=sent).status_code == 413
    assert app.get("/picture.png?run=grey").status_code == 200


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


def test_a_job_can_be_stopped_and_reports(caplog: pytest.LogCaptureFixture) -> None:
    reached: list[float] = []

    def task(progress: Progress) -> str:
        for i in range(10_000):
            progress(i / 10_000, "at it")
            reached.append(i)
            time.sleep(0.005)
        return "done"

    job = Job(task)
    assert not job.wait(0.05)
    job.stop()
    assert job.wait(10)
    assert 0 < len(reached) < 5000
    assert (job.result, job.error) == (None, "Cancelled: nothing was kept.")
    for error, said in ((UserError("no such thing"), "no such thing"), (RuntimeError("x"), "this went wrong")):

        def fails(_: Progress, error: Exception = error) -> str:
            raise error

        failed = Job(fails)
        assert failed.wait(10)
        assert said in failed.error
    assert "a job failed" in caplog.text
    finished = Job(lambda progress: "done")
    assert finished.wait(10)
    assert finished.result == "done"
    finished.stop()
    with pytest.raises(Stopped):
        finished._report(0.5, "")


def test_work_that_is_cancelled_before_its_turn_does_not_begin() -> None:
    work, visitor, begun = Work(), Request(session_hash="v"), []

    def task(progress: Progress) -> str:
        begun.append(1)
        while not begun[2:]:
            progress(0.5, "at it")
            time.sleep(0.005)
        return "done"

    assert "Waiting" in work.enter(visitor)
    work.forget(visitor)
    (job,) = work.follow("v", task)
    assert (job.result, job.error, begun) == (None, "Cancelled: nothing was kept.", [])
    for end in (lambda jobs: work.forget(visitor), lambda jobs: jobs.close()):
        work.enter(visitor)
        jobs = work.follow("v", task)
        job = next(jobs)
        assert job.result is None
        end(jobs)
        assert job.wait(10)
        assert job.error == "Cancelled: nothing was kept."
        assert all(job.wait(0) for job in jobs)
    begun[:] = []
    for _ in range(2):  # one in each of two tabs
        work.enter(visitor)
    first = next(work.follow("v", task))
    second = work.follow("v", task)
    assert next(second) is not first
    assert first.wait(10), "another job of the same visitor's ends the one before"
    begun += [1, 1]
    assert list(second)[-1].result == "done"


class Asked:
    """A request, as far as :class:`Room` looks at it."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone

    async def is_disconnected(self) -> bool:
        return self.gone


def test_requests_wait_for_a_processor_and_those_given_up_are_not_worked_on() -> None:
    room, at_once, most = Room(), [0], [0]

    def make() -> Response:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        at_once[0] -= 1
        return Response("made")

    async def ask() -> list[int]:
        codes = [(await room.work(Asked(gone=True), make, room.quick)).status_code]  # type: ignore[arg-type]
        assert most == [0]
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(room.work, Asked(), make, room.quick)
        room.waiting = WAITING
        return [*codes, (await room.work(Asked(), make, room.quick)).status_code]  # type: ignore[arg-type]

    assert anyio.run(ask) == [499, 503]
    assert most == [os.cpu_count()]
    assert room.drawing.total_tokens < room.quick.total_tokens or os.cpu_count() == 1


def test_only_pictures_that_stay_the_same_are_kept_by_browsers(app: httpx.Client) -> None:
    weights = app.get("/app/run?run=grey").json()["weights"]
    for query, kept in ((f"weights={weights}", True), (f"weights={weights}&move=0:1", False), ("seed=1", False)):
        control = app.get(f"/picture.png?run=grey&{query}").headers["cache-control"]
        assert (control == "private, max-age=600") == kept, query
        assert kept or control == "no-store"


def test_the_queue_is_bounded_and_a_closed_page_ends_its_work(app: httpx.Client) -> None:
    config = app.get("/config").json()
    assert config["enable_queue"]
    assert any(target[1] == "unload" for each in config["dependencies"] for target in each["targets"])
    assert set(app.get("/gradio_api/info").json()["named_endpoints"]) == {"/render", "/directions"}


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


def test_a_name_that_somebody_else_gave_is_not_overwritten(app: httpx.Client) -> None:
    view = app.get("/app/run?run=colour&directions=coordinate").json()
    body = {"run": "colour", "directions": "coordinate", "seen": view["seen"], "place": 1, "was": ["", ""], "note": ""}
    assert app.post("/app/name", json=body | {"name": "mine"}).status_code == 200
    answer = app.post("/app/name", json=body | {"name": "yours"})
    assert (answer.status_code, "called it 'mine'" in answer.text) == (409, True)
    assert app.post("/app/name", json=body | {"name": "ours", "was": ["mine", ""]}).status_code == 200


def test_discovery_does_as_it_is_told_and_loses_no_name(runs: Path) -> None:
    studio = Studio(runs)
    named: list[str] = []

    def name_it(share: float, words: str) -> None:
        if share > 0.5 and not named and (runs / "grey" / "directions" / "mine").exists():
            view = studio.open("grey", "mine")
            studio.rename(view, 1, "meanwhile", "")
            named.append(view.directions.labels[1])

    asked = ("grey", "activations", ["layer 1", "layer 2"], 5, 64, 3, " mine ", False)
    task = finder._task(studio, *asked)
    kept, said = task(lambda share, words: None)
    found = Directions.load(runs / "grey" / "directions" / "mine")
    assert (kept, len(found), found.seed, found.settings["samples"]) == ("mine", 5, 3, 64)
    assert found.settings["layers"] == ["layer 1", "layer 2"]
    assert "Found 5 directions" in said
    task(name_it)
    assert named
    assert Directions.load(runs / "grey" / "directions" / "mine").names[1] == "meanwhile"
    for wrong, what in (
        ((*asked[:6], "weights", False), "weights"),
        ((*asked[:6], ".x", False), "x"),
        ((*asked[:6], "a/b", False), "/"),
        ((*asked[:3], 513, *asked[4:]), "between 1 and 512"),
        ((*asked[:4], 2001, *asked[5:]), "between 2 and 2,000"),
        ((*asked[:5], 0.5, *asked[6:]), "whole number"),
        (("", *asked[1:]), "choose a run"),
    ):
        with pytest.raises(UserError, match=what):
            finder._task(studio, *wrong)


def test_a_run_that_is_slow_to_open_holds_up_nobody_else(
    app: httpx.Client, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.get("/picture.png?run=grey").status_code == 200
    gan_run(runs / "slow")
    ready, load = threading.Event(), Run.load_generator

    def slowly(run: Run, **options: Any) -> Any:
        assert run.name != "slow" or ready.wait(60)
        return load(run, **options)

    monkeypatch.setattr(Run, "load_generator", slowly)
    codes: list[int] = []

    def ask() -> None:
        codes.append(httpx.get(f"{app.base_url}picture.png?run=slow", timeout=60).status_code)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    time.sleep(0.5)
    assert app.get("/picture.png?run=grey&seed=3").status_code == 200
    assert codes == []
    ready.set()
    for asker in askers:
        asker.join()
    assert codes == [200] * 8


def test_many_at_once_are_all_served(app: httpx.Client) -> None:
    answers: list[int] = []

    def ask(i: int) -> None:
        with httpx.Client(base_url=app.base_url, timeout=120, trust_env=False) as one:
            answers.extend(
                one.get(f"/picture.png?run=grey&move=0:{0.1 * j:.1f}&seed={i}").status_code for j in range(4)
            )

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers == [200] * 48


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
