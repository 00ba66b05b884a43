"""Downloads, from a server on this machine that can send parts, cut connections and refuse."""

import hashlib
import os
import re
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from disentangle.apps import cli
from disentangle.data import SETS, download, fashion_mnist, files
from disentangle.data.base import Description
from disentangle.data.download import Remote
from disentangle.errors import UserError

CONTENT = np.random.default_rng(0).bytes(5_000)
MD5 = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"


class Server:
    """Serves one file under every name.

    Attributes:
        content: what it sends.
        ranges: whether it sends parts.
        cuts: it closes the connection after so many bytes, once for each number.
        sizes: whether it says how long an answer is.
        status: what it answers instead, if not 0.
        asked: the path and the Range of each request.
    """

    def __init__(self) -> None:
        self.content, self.ranges, self.sizes, self.status = CONTENT, True, True, 0
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/file.bin"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append((request.path, asked))
        if self.status:
            request.send_error(self.status)
            return
        start, total = 0, len(self.content)
        if asked and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1))
            if start >= total:
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{total}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            request.send_response(200)
        if self.sizes:
            request.send_header("Content-Length", str(total - start))
        request.end_headers()
        end = start + self.cuts.pop(0) if self.cuts else total
        request.wfile.write(self.content[start:end])

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "BLOCK", 700)
    server = Server()
    yield server
    server.close()


def get(server: Server, folder: Path, checksum: str = MD5, size: int | None = None, **options: object) -> Path:
    return download.download(Remote(server.url, checksum, size), folder, "the set", **options)


def test_a_file_arrives_whole_and_once(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = get(server, tmp_path / "new", report=lambda here, total: told.append((here, total)))
    assert path == tmp_path / "new/file.bin"
    assert path.read_bytes() == CONTENT
    assert told == [(min(700 * (i + 1), 5_000), 5_000) for i in range(8)]
    assert get(server, tmp_path / "new") == path
    assert server.asked == [("/file.bin", None)]
    assert os.listdir(path.parent) == ["file.bin"]


def test_it_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1_234])
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", "bytes=1234-")]
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_cut_connection_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_000, 0, 0, 2_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, *["bytes=1000-"] * 3, "bytes=3000-"]


def test_one_that_is_always_cut_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [1_000] + [0] * download.TRIES
    with pytest.raises(UserError, match=r"cut after 1,000 of 5,000 bytes\): try again, which goes on") as caught:
        get(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:1_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file.bin", "bytes=1000-")


def test_a_server_that_sends_no_parts_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_whole_part_needs_only_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT
    (tmp_path / "file.bin").rename(tmp_path / "file.bin.part")
    with (tmp_path / "file.bin.part").open("ab") as file:
        file.write(b"too much")
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_what_is_not_the_published_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    for checksum, size in ((MD5, None), (MD5, 5_000), ("", 4_999), (f"sha256:{'0' * 64}", None)):
        with pytest.raises(UserError, match=r"file.bin is not the published file \(5,000 bytes.*fetch http"):
            get(server, tmp_path, checksum, size)
        assert os.listdir(tmp_path) == []
    server.content = CONTENT
    assert get(server, tmp_path, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", 5_000).exists()


def test_a_part_of_something_else_costs_a_second_download_and_nothing_more(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"x" * 10)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", "bytes=10-"), ("/file.bin", None)]
    (tmp_path / "file.bin").rename(tmp_path / "file.bin.part")
    server.content = b"?" * 5_001
    with pytest.raises(UserError, match=r"not the published file \(5,001 bytes"):
        get(server, tmp_path)


def test_without_a_checksum_the_size_decides(server: Server, tmp_path: Path) -> None:
    server.sizes = False
    assert get(server, tmp_path / "1", "", 5_000).read_bytes() == CONTENT
    assert get(server, tmp_path / "2", "").read_bytes() == CONTENT
    server.cuts = [3_000]
    assert get(server, tmp_path / "3", "", 5_000).read_bytes() == CONTENT


def test_a_refusal_is_one_line(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(UserError, match=r"cannot download the set \(Not Found\): fetch http.* and put it in .*"):
        get(server, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_keeps_what_came(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Usage = namedtuple("Usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(4_999))
    with pytest.raises(UserError, match=r"0.0 GB are needed, 0.0 GB are free: make room there"):
        get(server, tmp_path)
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1_000])

    def full(part: object, block: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download._Part, "write", full)
    with pytest.raises(UserError, match=r"cannot write to .*: No space left on device: make room there"):
        get(server, tmp_path)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:1_000]


def test_an_interruption_keeps_what_came(server: Server, tmp_path: Path) -> None:
    def stop(here: int, total: int | None) -> None:
        if here > 2_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, report=stop)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:2_100]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file.bin", "bytes=2100-")


def test_of_two_at_the_same_time_one_downloads(server: Server, tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def run() -> None:
        both.wait()
        get(server, tmp_path)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file.bin"]
    assert len(server.asked) == 1


@pytest.fixture
def offered(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A data set of several files from the server; gives the folder that is the cache."""
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(files, "places", lambda: [tmp_path / "data"])
    base = server.url.rsplit("/", 1)[0]
    remotes = tuple(Remote(f"{base}/{name}", MD5, 5_000) for name in ("a.bin", "b.bin"))

    def find(root: Path | None) -> Path | None:
        return files.find(lambda folder: (folder / "a.bin").exists(), ("offered",), root)

    description = Description("offered", "", "", "", (3,), "", lambda *_: None, find=find, files=remotes)
    monkeypatch.setitem(SETS, "offered", description)
    return tmp_path / "data/offered"


def test_the_command_downloads_all_files(
    server: Server, offered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, folder in (([], offered), (["--root", str(tmp_path / "mine")], tmp_path / "mine")):
        cli.main(["data", "get", "offered", *arguments])
        assert sorted(os.listdir(folder)) == ["a.bin", "b.bin"]
    assert [path for path, _ in server.asked] == ["/a.bin", "/b.bin"] * 2
    cli.main(["data", "get", "offered"])
    assert len(server.asked) == 4
    (tmp_path / "mine/b.bin").unlink()
    cli.main(["data", "get", "offered", "--root", str(tmp_path / "mine")])
    assert [path for path, _ in server.asked[4:]] == ["/b.bin"]


def test_the_command_lists_what_is_here(offered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["data", "get", "--list"])
    said = capsys.readouterr().out
    for name, how in (("shapes3d", "268 MB"), ("celeba", "by hand"), ("offered", "not here")):
        assert how in next(line for line in said.splitlines() if line.startswith(name))
    assert "sprites " not in said.replace("dsprites ", "")
    cli.main(["data", "get", "offered"])
    capsys.readouterr()
    cli.main(["data", "get"])
    assert str(offered) in capsys.readouterr().out.replace("\n", "")


def test_the_command_checks_files_that_are_there(
    server: Server, offered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["data", "get", "offered"])
    cli.main(["data", "get", "offered"])
    for content in (b"put there by hand", CONTENT[:-1] + b"?"):
        (offered / "b.bin").write_bytes(content)
        with pytest.raises(SystemExit):
            cli.main(["data", "get", "offered"])
        said = capsys.readouterr().err
        assert re.search(
            rf"error: .*b.bin is not the published file \({len(content):,} bytes, md5:\w+\): remove it", said
        )
        assert (offered / "b.bin").read_bytes() == content, "it is not ours to remove"
    with pytest.raises(SystemExit):  # and so where only the others are to be fetched
        cli.main(["data", "get", "offered", "--root", str(offered)])
    assert len(server.asked) == 2


def test_all_files_that_are_lacking_are_named(
    server: Server, offered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 503
    with pytest.raises(SystemExit):
        cli.main(["data", "get", "offered"])
    base = re.escape(server.url.rsplit("/", 1)[0])
    assert re.search(f"fetch {base}/a.bin and {base}/b.bin yourself and put it in", capsys.readouterr().err)
    offered.mkdir(parents=True, exist_ok=True)
    (offered / "a.bin").write_bytes(CONTENT)
    with pytest.raises(SystemExit):
        cli.main(["data", "get", "offered", "--root", str(offered)])
    assert re.search(f"fetch {base}/b.bin yourself and put it in", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dsprites", "--list"], "the name of a data set to fetch, or --list, not both"),
        (["celeba"], "celeba cannot be downloaded: get img_align_celeba.zip.*; put it in .*celeba, or name it as root"),
        (["sprites"], "sprites has no files to download: generated here"),
        (["dsprite"], "unknown data set 'dsprite': did you mean dsprites"),
        (["--root", "here"], "name the data set to put there"),
    ],
)
def test_what_cannot_be_downloaded_is_said_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", "get", *arguments])
    assert caught.value.code == 2
    assert re.fullmatch(f"disentangle: error: .*{said}.*\n", capsys.readouterr().err)


def test_a_set_that_is_missing_is_downloaded_as_it_is_loaded(
    server: Server, offered: Path, small_fashion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = (small_fashion / "t10k-labels-idx1-ubyte.gz").read_bytes()
    remote = Remote(server.url.replace("file.bin", "t10k-labels-idx1-ubyte.gz"))
    ours = fashion_mnist.IdxSet(**{**vars(fashion_mnist.SET), "remotes": (remote,)})
    assert ours.find(None) is None
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte: No such file"):
        ours.load(split="test")
    assert [path for path, _ in server.asked] == ["/t10k-labels-idx1-ubyte.gz"]
    assert os.listdir(offered.parent / "fashion-mnist") == ["t10k-labels-idx1-ubyte.gz"]
    assert ours.find(None) == offered.parent / "fashion-mnist"
