"""What kubectl does with an API server: the same with a key file straight to
the stand-in, which proves the stand-in, and through the relay.

A class of tests; who takes it over gives the fixtures `standin` (it has had a
reset) and `kubectl`, whose user is kim.
"""

import json
import os
import shutil
import socket
import threading

import pytest

STREAMS = [("websocket", "true"), ("spdy", "false")]


@pytest.fixture(params=[s for _, s in STREAMS], ids=[n for n, _ in STREAMS])
def streams(request):
    return {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": request.param,
            "KUBECTL_PORT_FORWARD_WEBSOCKETS": request.param}


def echo_server():
    """Gives back what it gets, to the end; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(s):
        with s:
            while data := s.recv(65536):
                s.sendall(data)
            s.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(s,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener


class Checks:
    def test_get(self, standin, kubectl):
        assert "default" in kubectl.text("get", "ns")
        assert "Running" in kubectl.text("get", "pods")
        version = json.loads(kubectl.text("get", "--raw", "/version"))
        assert version["major"] == "1"
        assert "kim" in kubectl.text("auth", "whoami")
        assert "pods" in kubectl.text("api-resources")
        asked = standin.requests()
        assert asked and all(r["cn"] == "kim" for r in asked)
        assert {r["alpn"] for r in asked} == \
            {"h2" if standin.h2 else "http/1.1"}

    def test_watch(self, standin, kubectl):
        with kubectl.running("get", "pods", "-w") as watch:
            assert "NAME" in watch.line()
            names = [watch.line().split()[0] for _ in range(2)]
            assert names == ["demo", "other"]
            standin.say(touch="demo")
            assert watch.line().split()[0] == "demo"

    @pytest.mark.parametrize("side", ["--server-side=false", "--server-side"])
    def test_apply_and_delete(self, kubectl, tmp_path, side):
        def apply(value):
            return kubectl.text("apply", side, "-f", "-", input=json.dumps(
                {"apiVersion": "v1", "kind": "ConfigMap",
                 "metadata": {"name": "c"}, "data": {"k": value}}))

        def found():
            return kubectl.text("get", "cm", "c", "-o", "jsonpath={.data.k}")

        assert "configmap/c" in apply("one")
        assert found() == "one"
        apply("two")
        assert found() == "two"
        assert "deleted" in kubectl.text("delete", "cm", "c")
        assert b"NotFound" in kubectl("get", "cm", "c", code=1).stderr

    def test_logs(self, standin, kubectl):
        with kubectl.running("logs", "-f", "demo") as logs:
            assert logs.line() == "started"
            standin.say(log="more")
            while logs.line() != "more":
                pass

    def test_exec(self, standin, kubectl, streams):
        done = kubectl("exec", "-i", "demo", "--", "sh", "-c",
                       "cat; echo bad >&2; exit 3", input="hello", code=3,
                       env=streams)
        assert done.stdout == b"hello"
        assert b"bad" in done.stderr
        ways = {r["headers"].get("upgrade", "").lower()
                for r in standin.requests() if "/exec?" in r["target"]}
        websocket = streams["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] == "true"
        assert ways == {"websocket" if websocket else "spdy/3.1"}

    def test_exec_of_much(self, kubectl, streams, tmp_path):
        data = os.urandom(3 << 20)
        done = kubectl("exec", "-i", "demo", "--", "cat", input=data,
                       env=streams)
        assert done.stdout == data

    def test_attach(self, kubectl, streams):
        with kubectl.running("attach", "-i", "demo", env=streams) as attached:
            attached.write("anybody there\n")
            assert attached.line() == "anybody there"

    @pytest.mark.skipif(not shutil.which("tar"), reason="no tar here")
    def test_cp(self, standin, kubectl, streams, tmp_path):
        data = os.urandom(500000)
        there = tmp_path / "there"
        there.write_bytes(data)
        kubectl("cp", there, "demo:copied", env=streams)
        with open(standin.pod("demo", "copied"), "rb") as f:
            assert f.read() == data
        kubectl("cp", "demo:copied", tmp_path / "back", env=streams)
        assert (tmp_path / "back").read_bytes() == data

    def test_port_forward(self, kubectl, streams):
        data = os.urandom(300000)
        with echo_server() as echo, kubectl.running(
                "port-forward", "pod/demo", f":{echo.getsockname()[1]}",
                env=streams) as forward:
            local = int(forward.line().split(" -> ")[0].rsplit(":", 1)[1])
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", local)) as s:
                    threading.Thread(target=lambda s=s: (
                        s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
                    got = b""
                    while piece := s.recv(65536):
                        got += piece
                    assert got == data
