"""A headless Chromium, driven over its debugging pipe: no port, no network."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program():
    for name in PROGRAMS:
        path = shutil.which(name)
        if path is not None:
            return path
    return None


class Chromium:
    """One browser with one page; `requests` are the addresses it asked for."""

    def __init__(self, folder, width=1280, height=900):
        if program() is None:
            pytest.skip("there is no chromium on this host")
        self.sent = 0
        self.requests = []
        self.errors = []
        self.data = b""
        to_read, self.to = os.pipe()
        self.come, from_write = os.pipe()
        os.set_blocking(self.come, False)
        argv = [program(), "--headless=new", "--remote-debugging-pipe",
                f"--user-data-dir={folder}", f"--window-size={width},{height}",
                "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-background-networking", "--disable-extensions",
                "--disable-component-update", "--disable-sync",
                "--hide-scrollbars"]
        if os.geteuid() == 0:
            argv.append("--no-sandbox")

        def pipes():
            os.dup2(to_read, 103, inheritable=False)
            os.dup2(from_write, 104, inheritable=False)
            os.dup2(103, 3)
            os.dup2(104, 4)
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=pipes, close_fds=False,
            env=dict(os.environ, HOME=str(folder)))
        os.close(to_read)
        os.close(from_write)
        target = self.call("Target.createTarget", url="about:blank")
        self.session = None
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for name in ("Page.enable", "Network.enable", "Runtime.enable",
                     "Log.enable"):
            self.call(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.to)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.come)

    def message(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.data:
            left = end - time.monotonic()
            assert left > 0, "the browser does not answer"
            if select.select([self.come], [], [], left)[0]:
                piece = os.read(self.come, 1 << 20)
                assert piece, "the browser is gone"
                self.data += piece
        text, self.data = self.data.split(b"\0", 1)
        return json.loads(text)

    def note(self, message):
        method, params = message.get("method"), message.get("params")
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"])
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])

    def call(self, name, seconds=60, **params):
        self.sent += 1
        ask = {"id": self.sent, "method": name, "params": params}
        if getattr(self, "session", None) is not None:
            ask["sessionId"] = self.session
        os.write(self.to, json.dumps(ask).encode() + b"\0")
        while True:
            answer = self.message(seconds)
            if answer.get("id") == self.sent:
                assert "error" not in answer, answer
                return answer["result"]
            self.note(answer)

    def open(self, path, seconds=120):
        """Loads a file; returns when it says that it is done."""
        self.call("Page.navigate", url="file://" + str(path))
        self.run("""new Promise((done) => {
            const look = () => document.documentElement &&
                document.documentElement.dataset.done ? done()
                : setTimeout(look, 20);
            look(); })""", seconds)

    def run(self, script, seconds=60):
        answer = self.call("Runtime.evaluate", seconds, expression=script,
                           awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def width(self, width, height=900, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF")["data"])
