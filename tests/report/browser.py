"""A headless Chromium on a pipe: opens a page from disk, offline, and is told what to do in it.

    with browser() as chromium:
        page = chromium.open(path)
        assert page.run("1 + 1") == 2

Speaks the DevTools protocol (https://chromedevtools.github.io/devtools-protocol), JSON between null
bytes on descriptors 3 and 4 of the process, so that no driver is needed.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
         "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
         "--disable-dev-shm-usage")  # fmt: skip
PATIENCE = 60.0  # seconds


def program():
    """Where Chromium is; skips the test where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to its path")
    return found


@contextlib.contextmanager
def browser(width=1280, height=900):
    command = [program(), *FLAGS, f"--window-size={width},{height}"]
    to_it, from_us = os.pipe()
    to_us, from_it = os.pipe()
    with tempfile.TemporaryDirectory() as home:
        # bash puts the pipes on 3 and 4, whatever their numbers are; sh knows one digit only.
        line = f'exec "$@" 3<&{to_it} 4>&{from_it}'
        process = subprocess.Popen(
            ["bash", "-c", line, "bash", *command, f"--user-data-dir={home}"],
            pass_fds=(to_it, from_it), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_it), os.close(from_it)
        made = Browser(from_us, to_us)
        try:
            yield made
        finally:
            with contextlib.suppress(OSError, AssertionError):
                made.ask("Browser.close")
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(from_us), os.close(to_us)


class Browser:
    def __init__(self, write, read):
        self.write, self.read, self.count, self.rest, self.seen = write, read, 0, b"", []
        os.set_blocking(read, False)

    def ask(self, method, session=None, **params):
        """The result of a command; what happens meanwhile is kept in `seen`."""
        self.count += 1
        told = {"id": self.count, "method": method, "params": params}
        os.write(
            self.write, json.dumps(told | ({"sessionId": session} if session else {})).encode()
        )
        os.write(self.write, b"\0")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for message in self.messages():
                if message.get("id") == self.count:
                    assert "error" not in message, message
                    return message["result"]
                self.seen.append(message)
            time.sleep(0.005)
        raise AssertionError(f"no answer to {method}")

    def messages(self):
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.read, 1 << 20):
                self.rest += chunk
        *whole, self.rest = self.rest.split(b"\0")
        return [json.loads(one) for one in whole]

    def open(self, path, anchor=""):
        """A page from disk, once it says that it is ready; the network is off."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for name in ("Runtime.enable", "Log.enable", "Page.enable", "Network.enable"):
            page.ask(name)
        offline = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        page.ask("Network.emulateNetworkConditions", offline=True, **offline)
        page.ask("Page.navigate", url=path.resolve().as_uri() + anchor)
        page.wait("document.documentElement?.dataset.ready === 'yes'")
        return page


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def run(self, script):
        """The value of a JavaScript expression, awaited."""
        found = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script):
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, (script, self.complaints())
            time.sleep(0.02)

    def press(self, key, code=0, text=""):
        """A key, as a person presses it."""
        facts = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **facts)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def click(self, selector):
        """A real click in the middle of an element."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView("
            "{block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1],
                     button="left", clickCount=1)  # fmt: skip

    def hover(self, x, y):
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self):
        """Errors and warnings of the console, exceptions, and requests that left the page."""
        self.browser.seen += self.browser.messages()
        found = []
        for message in self.browser.seen:
            if message.get("sessionId") != self.session:
                continue
            name, params = message["method"], message["params"]
            if name == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"])
            if name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(params["args"])
            if name == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"])
            if name == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "blob:", "data:")):
                    found.append(url)
        return found

    def screenshot(self, path, whole=False):
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
