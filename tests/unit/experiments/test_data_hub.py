import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.utils._http import close_session

from fathom.errors import DataNotFoundError
from fathom.experiments.data.cifar import cifar10
from fathom.experiments.data.hub import quiet
from fathom.experiments.data.load import load
from made_pictures import NAMES, Made


class Hub:
    """A hub that only counts who asks, and says that it cannot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        for settings in (huggingface_hub.constants, datasets.config):
            monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is logged: its own handlers hold a terminal that is not captured."""
    messages: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Kept()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    for logger in loggers:
        logger.addHandler(handler)
    yield messages
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(monkeypatch, tmp_path / "cache")
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    # Another test's, of the same hub.
    cifar10.cache_clear()
    yield hub
    cifar10.cache_clear()
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()
    close_session()


def test_a_hub_that_cannot_is_asked_once_and_named_in_one_line(
    hub: Hub, capfd: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    with pytest.raises(DataNotFoundError) as raised:
        load("cat-vs-dog")
    message = str(raised.value)
    assert message.startswith("data: uoft-cs/cifar10 must be on the Hugging Face Hub")
    assert "503" in message
    assert "--data-folder PATH" in message
    assert message.endswith("or --data digits, which needs no network.")
    assert "\n" not in message
    # It may be asked other things too, such as which of its own settings hold.
    assert [path for path in hub.asked if "cifar10" in path] == ["/api/datasets/uoft-cs/cifar10"]
    assert capfd.readouterr() == ("", "")
    assert not logged
    # As it was, for whatever else the process does with `datasets`.
    assert not datasets.config.HF_HUB_OFFLINE
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_what_the_hub_gave_once_is_there_without_it(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    made = Made()
    # The same files that `datasets` keeps of a hub's, under the name of the hub's.
    folder = made.parquet(tmp_path / "cifar10")
    with quiet():
        builder = datasets.load_dataset_builder(str(folder))
        builder.download_and_prepare()
    kept = tmp_path / "cache" / "uoft-cs___cifar10" / "default" / "0.0.0"
    kept.mkdir(parents=True)
    Path(builder.cache_dir).rename(kept / ("0" * 40))
    capfd.readouterr()
    logged.clear()
    dataset = load("cifar10")
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        assert images.labels.tolist() == made.labels[part]
        assert np.array_equal(images.pixels, made.pixels[part].transpose(0, 3, 1, 2))
    assert dataset.classes == tuple(NAMES)
    assert capfd.readouterr() == ("", "")
    assert not logged
