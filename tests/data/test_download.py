"""Downloads from a server that cuts, stalls, lies and sends elsewhere: an error, then a success."""

import gzip
import hashlib
import io
import pickle
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv

from tests.faults.test_disk import mount
from tests.helpers import md5, write_cifar
from toastlab.cli import main as cli
from toastlab.core.errors import DataError
from toastlab.data import download as remote
from toastlab.data import sources
from toastlab.data.dataset import DataConfig, load
from toastlab.data.idx import write_idx

FAULTS = ["cut", "cut chunks", "stall", "silent", "wrong bytes", "not there", "circle", "elsewhere"]


class Server(ThreadingHTTPServer):
    """Serves `files` by path, badly as `fault` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.fault = ""
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        body, fault = self.server.files[self.path], self.server.fault
        self.close_connection = True
        if fault == "silent":
            self.server.over.wait(60)
            return
        if fault == "not there":
            return self.send_error(404)
        if fault in ("circle", "elsewhere"):
            self.send_response(302)
            to = self.server.url + self.path[1:] if fault == "circle" else "file:///etc/passwd"
            self.send_header("Location", to)
            return self.end_headers()
        if fault == "wrong bytes":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(200)
        if fault == "cut chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(body) + body[: len(body) // 2])
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        if fault == "stall":
            self.wfile.flush()
            self.server.over.wait(60)
        elif fault != "cut":
            self.wfile.write(body[len(body) // 2 :])


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(params=["cifar10", "cifar100", "fashion-mnist"])
def source(
    request: pytest.FixtureRequest,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A data set on the server, small and in the real format, with torchvision's checksums."""
    name = str(request.param)
    if name == "fashion-mnist":
        resources = []
        for archive, _ in tv.FashionMNIST.resources:
            n = 80 if archive.startswith("train") else 20
            array = np.arange(n, dtype=np.uint8) % 10
            if "images" in archive:
                array = np.broadcast_to(array[:, None, None], (n, 28, 28))
            write_idx(tmp_path / "one.gz", array)
            server.files[f"/{archive}"] = (tmp_path / "one.gz").read_bytes()
            resources.append((archive, md5(tmp_path / "one.gz")))
        monkeypatch.setattr(tv.FashionMNIST, "resources", resources)
        monkeypatch.setattr(tv.FashionMNIST, "mirrors", [server.url])
        return name
    kind = tv.CIFAR10 if name == "cifar10" else tv.CIFAR100
    folder = write_cifar(kind, tmp_path / "made", monkeypatch)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(folder, folder.name)
    server.files["/a.tar.gz"] = packed.getvalue()
    monkeypatch.setattr(kind, "url", server.url + "a.tar.gz")
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
    return name


def fetched(name: str, root: Path) -> None:
    """It can be fetched and read."""
    sources.fetch(name, root)
    data = load(DataConfig(name, path=str(root), val_share=0.25))
    assert len(data.test) >= 20


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_server_and_then_a_good_one(
    fault: str, source: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "STALL", 0.3)
    root, server.fault = tmp_path / "root", fault
    other = root / "earlier" / "result"
    other.parent.mkdir(parents=True)
    other.write_text("kept")
    for _ in range(2):
        with pytest.raises(DataError, match=f"could not fetch '{source}'.*try again") as error:
            sources.fetch(source, root)
        assert "\n" not in str(error.value)
        assert ("timed out" in str(error.value)) == (fault in ("stall", "silent"))
        with pytest.raises(DataError, match=f"get it with `toastlab data fetch {source}`"):
            load(DataConfig(source, path=str(root), val_share=0.25))
    assert socket.getdefaulttimeout() is None, "others may wait as they like"
    server.fault = ""
    fetched(source, root)
    assert other.read_text() == "kept"
    server.files.clear()
    fetched(source, root)  # no question asked of the server


def test_what_was_damaged_later_is_fetched_again(
    source: str, server: Server, tmp_path: Path
) -> None:
    """Every file in turn, missing, torn, or one that would run code."""
    root, mark = tmp_path / "root", tmp_path / "ran"
    fetched(source, root)
    read = [f for f in root.rglob("*") if f.is_file() and "tar" not in f.name]
    assert len(read) >= 3
    harm = f"cos\nmkdir\n(V{mark}\ntR.".encode()
    for file in read:
        whole = file.read_bytes()
        for damage in (None, whole[: len(whole) // 2], harm):
            file.unlink()
            if damage is not None:
                file.write_bytes(damage)
            with pytest.raises(DataError, match="missing or"):
                load(DataConfig(source, path=str(root), val_share=0.25))
            assert not mark.exists()
            fetched(source, root)
    pickle.loads(harm)
    assert mark.exists(), "the harm is real"


def test_unpacked_files_of_an_earlier_version_are_not_trusted(tmp_path: Path) -> None:
    """torchvision unpacks Fashion-MNIST and then never looks at the archives again."""
    folder = remote.folder_of(tv.FashionMNIST, tmp_path)
    folder.mkdir(parents=True)
    for archive, _ in tv.FashionMNIST.resources:
        (folder / archive.removesuffix(".gz")).write_bytes(b"anything")
        (folder / archive).write_bytes(gzip.compress(b"anything"))
    with pytest.raises(DataError, match="does not match its checksum"):
        load(DataConfig("fashion-mnist", path=str(tmp_path)))


def test_an_archive_with_other_contents(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_cifar(tv.CIFAR10, tmp_path / "made", monkeypatch)
    (folder / "test_batch").write_bytes(b"other")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(folder, folder.name)
    server.files["/a.tar.gz"] = packed.getvalue()
    monkeypatch.setattr(tv.CIFAR10, "url", server.url + "a.tar.gz")
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
    with pytest.raises(DataError, match="does not hold the right test_batch"):
        sources.fetch("cifar10", tmp_path / "root")


def test_a_folder_that_cannot_be_written(source: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=f"could not fetch '{source}' into .*Check connection and"):
        sources.fetch(source, tmp_path / "file" / "root")
    root = tmp_path / "root"
    root.mkdir()
    if mount("-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(root)):
        try:
            with pytest.raises(DataError, match="Read-only file system"):
                sources.fetch(source, root)
        finally:
            subprocess.run(["umount", str(root)], check=True)


def test_the_command_gives_one_line(
    source: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOASTLAB_DATA", str(tmp_path / "root"))
    server.fault = "cut"
    with pytest.raises(SystemExit) as stop:
        cli.main(["data", "fetch", source])
    assert stop.value.code == 2
    assert "could not fetch" in capsys.readouterr().err
    server.fault = ""
    cli.main(["data", "fetch", source])
    cli.main(["data", "check", source])
    shutil.rmtree(tmp_path / "root")  # it vanishes
    with pytest.raises(SystemExit):
        cli.main(["data", "check", source])
    assert f"toastlab data fetch {source}" in capsys.readouterr().err
