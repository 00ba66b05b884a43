"""What the app refuses: other sites, files, bodies and connections without bounds; and that it lives on."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from disentangle.apps.studio import Studio
from disentangle.apps.traverse import guard, server
from disentangle.apps.traverse.guard import LARGEST_BODY, LARGEST_UPLOAD
from disentangle.apps.traverse.work import Work
from tests.apps.traverse.acts import joined

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


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"data": [], "session_hash": "a" * 1000}, "the name of a session has 64 characters at most"),
        ({"data": [[]] * 5000}, "a request may have 4,096 lists and mappings at most"),
        ({"data": [{"path": "/etc/passwd"}]}, "a request may name no file but those that were uploaded"),
    ],
)
def test_what_is_refused_is_told_why(app: httpx.Client, body: dict[str, Any], said: str) -> None:
    answer = app.post("/gradio_api/queue/join", json=body)
    assert (answer.status_code, answer.text) == (403, said)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server says on the terminal."""
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("call/nope", {"data": []}, 404),
        ("run/predict", {"fn_index": None, "data": []}, 404),
        ("run/predict", {"fn_index": -1, "data": []}, 403),
        ("run/predict", {"fn_index": "-1", "data": []}, 403),
        ("queue/join", {"fn_index": 10**6, "data": [], "session_hash": "abc"}, 403),
    ],
)
def test_there_are_no_other_functions(
    app: httpx.Client, path: str, body: dict[str, Any], status: int, told: pytest.LogCaptureFixture
) -> None:
    answer = app.post(f"/gradio_api/{path}", json=body)
    assert (answer.status_code, "no such function" in answer.text) == (status, True)
    assert told.records == []


def test_who_hangs_up_leaves_no_words_on_the_terminal(app: httpx.Client, told: pytest.LogCaptureFixture) -> None:
    for path in ("/app/name", "/gradio_api/upload", "/gradio_api/call/render"):
        with socket.create_connection((HOST, app.base_url.port)) as raw:
            head = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99\r\n"
            raw.sendall(f"POST {path} HTTP/1.1\r\nHost: {HOST}:{app.base_url.port}\r\n{head}\r\n--x\r\n".encode())
            time.sleep(0.2)  # by now it is being read
    assert app.get("/app/runs").status_code == 200
    time.sleep(0.2)
    assert told.records == []


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
    page, _ = server.application(Studio(runs), "127.0.0.1", 0, Work())
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
