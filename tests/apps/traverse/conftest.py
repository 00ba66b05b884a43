"""The app over HTTP, without a browser, on runs that all of its tests share."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from disentangle.apps.traverse import launch
from tests.runs import gan_run, vae_run


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
