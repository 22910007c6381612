"""A headless Chromium, spoken to over its own pipe (DevTools protocol): nothing to install besides the browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe", "--hide-scrollbars")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
TEXTS = {"Enter": "\r", " ": " "}  # keys that press what has the focus


def find() -> str | None:
    """The browser on this machine, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page, and everything that it asked of the network or wrote to the console."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._rest, self._number = to_browser, from_browser, b"", 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to this command."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._read()).get("id") != self._number:
            self._note(found)
        assert "error" not in found, found
        return found["result"]  # type: ignore[no-any-return]

    def open(self, file: Path) -> None:
        """Load a file, to its end."""
        self.visit(file.as_uri())

    def visit(self, address: str) -> None:
        """Load what is at an address, to its end."""
        self.call("Page.navigate", url=address)
        while (found := self._read()).get("method") != "Page.loadEventFired":
            self._note(found)

    def look(self, width: int, height: int, *, dark: bool) -> None:
        """A window of this size, by day or by night."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until an expression is true; AssertionError, with what the page says, where that takes longer."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, (condition, self.run("document.body.innerText"), self.complaints)
            time.sleep(0.05)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """One key, down and up."""
        text = {"text": TEXTS[key]} if key in TEXTS else {}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                **(text if kind == "keyDown" else {}),
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=KEYS[key],
                modifiers=8 * shift,
            )

    def point(self, selector: str, number: int = 0) -> None:
        """The pointer onto an element."""
        box = f"document.querySelectorAll({json.dumps(selector)})[{number}].getBoundingClientRect()"
        x, y = self.run(f"(() => {{ const b = {box}; return [b.x + b.width / 2, b.y + b.height / 2]; }})()")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, file: Path, *, beyond: bool = True) -> None:
        """The page as PNG: all of it, or what the window shows."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=beyond)["data"]
        file.write_bytes(base64.b64decode(data))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser is gone"
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)  # type: ignore[no-any-return]

    def _note(self, found: dict[str, Any]) -> None:
        method, parameters = found.get("method", ""), found.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(parameters))


@contextmanager
def page(browser: str, folder: Path) -> Iterator[Page]:
    """A browser with one page; its profile in a folder that is thrown away."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()

    def hand_over() -> None:  # the browser reads from 3 and writes to 4
        kept_in, kept_out = os.dup(their_in), os.dup(their_out)
        os.dup2(kept_in, 3)
        os.dup2(kept_out, 4)

    command = [browser, *FLAGS, f"--user-data-dir={folder}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        close_fds=False,
        preexec_fn=hand_over,  # noqa: PLW1509 - it only moves two descriptors
    ) as process:
        os.close(their_in)
        os.close(their_out)
        try:
            yield Page(our_out, our_in)
        finally:
            process.kill()
            os.close(our_out)
            os.close(our_in)
