"""Who is let in: the dashboard and JupyterLab, asked with and without the token, from elsewhere,
and for more than they offer."""

import asyncio
import http.client
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect

from tests.browser.serving import ROOT, started
from tests.faults.visitor import Visitor, ask
from toastlab.widgets.dashboard import Limits
from toastlab.widgets.servers import lab_arguments, token, warning
from toastlab.widgets.voila_app import PROTOCOL, settings

ELSEWHERE = "http://elsewhere.example"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "jupyter_config.py").write_text("open('ran', 'w')")  # settings that are code
    (folder / "voila.json").write_text('{"Voila": {"ip": "0.0.0.0", "token": ""}}')
    options = ["--port", str(free_port()), "--trainings", "1", "--visitors", "2"]
    with started(folder, "dashboard", *options) as (address, word, _):
        yield address, word, folder


@pytest.fixture(scope="module")
def first(dashboard: tuple[str, str, Path]) -> Visitor:
    """A page that is loaded, and not yet connected."""
    visitor = Visitor(*dashboard[:2])
    asyncio.run(visitor.load())
    return visitor


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def status_with_host(address: str, path: str, host: str) -> int:
    """The status when a browser was led here under another name (DNS rebinding)."""
    line = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    line.request("GET", path, headers={"Host": host})
    return line.getresponse().status


def listens_on(port: int) -> set[str]:
    """Local addresses of the sockets that listen on a port, from the kernel."""
    found = set()
    for file in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for row in file.read_text().splitlines()[1:] if file.exists() else []:
            place, state = row.split()[1], row.split()[3]
            if state == "0A" and int(place.split(":")[1], 16) == port:
                found.add(place.split(":")[0])
    return found


def only_loopback(address: str) -> bool:
    return listens_on(int(address.rsplit(":", 1)[1])) <= {"0100007F"}


def test_the_dashboard_refuses_who_has_no_token(dashboard: tuple[str, str, Path]) -> None:
    address, word, folder = dashboard
    assert only_loopback(address)
    assert len(word) == 48
    _, text, place = ask(address + "/")
    assert "/login?next=" in place
    assert "medoid" not in text
    assert "/login" in ask(address + "/?token=wrong")[2]
    some = f"{address}/api/kernels/1-1-1-1-1"
    assert ask(some)[0] == 403
    assert ask(some, "DELETE", Origin=address)[0] == 403
    assert status_with_host(address, f"/?token={word}", "elsewhere.example") == 403
    assert not (folder / "ran").exists()


def test_the_dashboard_offers_its_page_and_nothing_else(
    dashboard: tuple[str, str, Path],
) -> None:
    address, word, _ = dashboard
    key = {"Authorization": f"token {word}"}
    for path in (
        "api/contents", "api/sessions", "api/terminals", "api/kernels", "api/kernelspecs",
        "api/status", "terminals/1", "lab", "tree", "files/toastlab.ipynb", "voila/tree",
        "voila/api/contents", "voila/files/toastlab.ipynb", "voila/files/start.html",
        "toastlab.ipynb", "nbconvert/html/toastlab.ipynb",
    ):  # fmt: skip
        for method in ("GET", "POST", "PUT"):
            status, text, _ = ask(f"{address}/{path}", method, None, **key)
            assert status in (403, 404, 405), (path, method, status)
            assert "AblationPanel" not in text


def test_no_page_asks_another_host_for_files(
    dashboard: tuple[str, str, Path], first: Visitor
) -> None:
    address, word, _ = dashboard
    others = [ask(f"{address}/{path}")[1] for path in ("login", f"nothing?token={word}")]
    for text in (first.text, *others):
        assert "<html" in text
        asked = re.findall(
            r"<(?:link|script|img)[^>]+(?:href|src)=[\"']?(?:https?:)?//[^>]+>", text
        )
        assert asked == []


def test_a_visitor_moves_controls_and_runs_no_code(
    dashboard: tuple[str, str, Path], first: Visitor
) -> None:
    address, word, folder = dashboard

    async def visit() -> None:
        for shown in ("AblationPanel", "course_runs", "Traceback", str(ROOT)):
            assert shown not in first.text, "no code is shown"
        for headers in (
            {"Cookie": first.cookies, "Origin": ELSEWHERE},
            {"Origin": address},
        ):
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(first.channels(**headers), subprotocols=[PROTOCOL])
        with pytest.raises(HTTPClientError, match="400"):  # the protocol that stops Voila
            await websocket_connect(first.channels(Cookie=first.cookies, Origin=address))
        await first.connect()

        # controls
        picture = first.find(_model_name="ImageModel", width=first.states[image(first)]["width"])
        before = first.states[picture]["value"]
        slider = first.find(description="medoid weight a")
        old = first.states[slider]["index"]
        await first.move("medoid weight a", 0 if old else 1)
        assert first.states[picture]["value"] != before
        for wrong in (
            {"index": 999},
            {"index": -1},
            {"index": "1"},
            {"index": True},
            {"value": "__import__('os')"},
        ):
            await first.handled(first.update(slider, **wrong))
        now = Visitor(address, word)
        now.jar, now.kernel = first.jar, first.kernel
        await now.connect()  # what the kernel itself has
        assert now.states[slider]["index"] == (0 if old else 1)

        # nothing else: other state, new widgets, code
        note = next(k for k, s in now.states.items() if s["_model_name"] == "HTMLModel")
        text = now.states[note]["value"]
        await now.handled(now.update(note, value="<b>mine</b>"))
        await now.handled(now.update(slider, description="mine"))
        made = {"_model_name": "HTMLModel", "_model_module": "@jupyter-widgets/controls"}
        data = {"state": {**made, "value": "mine"}, "buffer_paths": []}
        opened = {"comm_id": "00", "target_name": "jupyter.widget", "data": data}
        await now.handled(now.send("comm_open", opened))
        mark = folder / "marked"
        for channel in ("shell", "control"):
            code = {"code": f"open({str(mark)!r}, 'w')", "silent": False}
            now.send("execute_request", code, channel)
            now.send("debug_request", {"command": "initialize", "arguments": {}}, channel)
        await now.handled(now.send("kernel_info_request", {}))
        again = Visitor(address, word)
        again.jar, again.kernel = first.jar, first.kernel
        await again.connect()
        assert again.states[note]["value"] == text
        assert again.states[slider]["description"] == "medoid weight a"
        assert len(again.states) == len(now.states)
        assert not mark.exists()

        # one training at a time, over two processes
        second = Visitor(address, word)
        await second.open()
        status, said, _ = await asyncio.to_thread(ask, f"{address}/?token={word}")
        assert status == 503, "two places, both taken"
        assert "All places are taken" in said
        again.press("Train this setting")
        await again.says("epoch ")
        await second.move("medoid weight a", 1)
        second.press("Train this setting")
        await second.says("Waiting: a training is running")
        again.press("Stop")
        await again.says("Stopped")
        await second.says("epoch ", "Done")
        second.press("Stop")
        await second.says("Stopped", "Done")

        # closing: not from elsewhere, not without what the page was given
        place = f"{address}/voila/api/shutdown/{first.kernel}"
        for headers in ({"Origin": ELSEWHERE}, {"Origin": address}):
            status = (await asyncio.to_thread(ask, place, "POST", first.jar, **headers))[0]
            assert status in (403, 404), headers
        await first.close()
        await second.close()
        status = (await asyncio.to_thread(ask, place, "POST", CookieJar()))[0]
        assert status == 403

    asyncio.run(visit())


def image(visitor: Visitor) -> str:
    """The first picture of the page: the ablation's."""
    return next(k for k, s in visitor.states.items() if s["_model_name"] == "ImageModel")


def test_jupyterlab_asks_for_the_token_even_where_settings_say_otherwise(tmp_path: Path) -> None:
    config = {
        "ServerApp": {"ip": "0.0.0.0", "token": "", "allow_origin": "*"},
        "IdentityProvider": {"token": ""},
    }
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
    environment = {"JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    words = ["lab", "--folder", str(tmp_path), "--port", str(free_port())]
    with started(tmp_path, *words, **environment) as (address, word, _):
        assert only_loopback(address)
        assert ask(f"{address}/api/contents")[0] == 403
        assert ask(f"{address}/api/kernels", "POST")[0] == 403
        jar = CookieJar()
        assert ask(f"{address}/api/contents?token={word}", jar=jar)[0] == 200
        assert ask(f"{address}/api/kernels", "POST", jar, Origin=ELSEWHERE)[0] in (403, 404)
        assert ask(f"{address}/api/kernels", "POST", jar, Origin=address)[0] == 403  # no _xsrf
        assert status_with_host(address, f"/api/contents?token={word}", "elsewhere.example") == 403


def test_exposing_is_asked_for_and_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from toastlab.widgets import servers

    for expose, ip in ((False, "127.0.0.1"), (True, "0.0.0.0")):
        assert f"--ServerApp.ip={ip}" in lab_arguments("x", 1, False, expose)
        assert settings(Path("x"), 1, "word", expose, Limits())["Voila"]["ip"] == ip
    assert "token" in warning("can")
    said: list[str] = []

    def refuse(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jupyterlab.labapp.LabApp.initialize_server", refuse)
    monkeypatch.setattr("toastlab.widgets.dashboard.course_runs", refuse)
    from toastlab.widgets.dashboard import serve

    for expose in (False, True):
        with pytest.raises(KeyboardInterrupt):
            servers.serve_lab("x", 1, False, expose, said.append)
        with pytest.raises(KeyboardInterrupt):
            serve("x", 1, False, expose, None, said.append)
        assert len(said) == 2 * expose
    assert all(text.startswith("WARNING: --expose.") for text in said)


@pytest.mark.parametrize("which", ["lab", "dashboard"])
def test_kernels_compute_in_one_thread_unless_told_otherwise(
    which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the server has in its environment when it starts; kernels inherit it."""
    from toastlab.widgets import servers
    from toastlab.widgets.dashboard import serve

    handed: dict[str, str] = {}

    def starts(*args: object, **more: object) -> None:
        handed.update(os.environ)
        raise KeyboardInterrupt

    monkeypatch.setattr("jupyterlab.labapp.LabApp.initialize_server", starts)
    monkeypatch.setattr("toastlab.widgets.voila_app.Dashboard.initialize", starts)
    environment = {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k}
    monkeypatch.setattr(os, "environ", {**environment, "MKL_NUM_THREADS": "3"})
    start: dict[str, Callable[[], None]] = {
        "lab": lambda: servers.serve_lab(str(tmp_path), 1, False, False, lambda text: None),
        "dashboard": lambda: serve(tmp_path, 1, False),
    }
    with pytest.raises(KeyboardInterrupt):
        start[which]()
    assert handed["OMP_NUM_THREADS"] == handed["OPENBLAS_NUM_THREADS"] == "1"
    assert handed["MKL_NUM_THREADS"] == "3", "what the environment says stays"


def test_make_lab_opens_nothing_by_chance() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "expose" not in text.replace("ARGS=--expose", "")
    assert "toastlab lab $(ARGS)" in text


def test_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "")
    assert token() != token(), "an empty one is none"
    monkeypatch.setenv("JUPYTER_TOKEN", "mine")
    assert token() == ("mine", False)
