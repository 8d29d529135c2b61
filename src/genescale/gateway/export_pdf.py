"""The report as PDF, printed by the machine's own Chromium.

The page goes to Chromium through a pipe and comes back the same way, and never stands in a file or a command line. The
profile that Chromium wants lies in memory where there is such a folder, and goes with the process. Scripts are off, and
no name is resolved.
"""

import base64
import fcntl
import os
import select
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from genescale.errors import Permanent, Retryable

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ARGUMENTS: Final = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--incognito"),
    *(
        "--disable-gpu",
        "--disable-extensions",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-breakpad",
    ),
    *("--disable-component-update", "--disable-dev-shm-usage", "--disk-cache-size=1", "--metrics-recording-only"),
    *("--disable-crash-reporter", "--host-resolver-rules=MAP * ~NOTFOUND", "--blink-settings=scriptEnabled=false"),
)
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "FONTCONFIG_PATH", "FONTCONFIG_FILE")
_TIMEOUT_S: Final = 60.0
_TURN: Final = threading.Lock()  # a Chromium takes some 300 MB: one at a time


class Unavailable(Permanent):
    """What this machine cannot do. The message says what is missing."""


def find_chromium() -> str | None:
    """Path of Chromium, None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def print_pdf(html: bytes, chromium: str | None, *, timeout_s: float = _TIMEOUT_S) -> bytes:
    """A4 pages. Blocks for some seconds, so call it from a thread.

    Raises `Unavailable` when there is no Chromium or it does not start, `Retryable` when another page is being printed
    for too long.
    """
    if chromium is None:
        raise Unavailable("PDF is unavailable: there is no Chromium here; print the HTML report in a browser instead")
    until = time.monotonic() + timeout_s
    if not _TURN.acquire(timeout=timeout_s):
        raise Retryable("other reports are being printed; try again", after_s=5.0)
    try:
        memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made below it
        within = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
        with (
            tempfile.TemporaryDirectory(prefix="genescale-print-", dir=within, ignore_cleanup_errors=True) as profile,
            _Chromium(chromium, profile, until) as browser,
        ):
            return browser.print(html.decode())
    except OSError as error:
        raise Unavailable(f"PDF is unavailable: Chromium does not start ({error.strerror})") from error
    finally:
        _TURN.release()


class _Chromium:
    """A process that is spoken to through its file descriptors 3 and 4, in JSON that ends with a zero byte."""

    def __init__(self, path: str, profile: str, until: float) -> None:
        self._until = until
        self._number = 0
        self._buffer = bytearray()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Above 9, so that putting one into its place cannot close the other.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            self._pid = self._spawn(path, profile, ends)
        except OSError:
            os.close(self._out)
            os.close(self._in)
            raise
        finally:
            for end in ends:
                os.close(end)

    def _spawn(self, path: str, profile: str, ends: Sequence[int]) -> int:
        # Chromium's own sandbox refuses to run as root; in a container the container is the sandbox.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        return os.posix_spawn(
            path,
            [path, *_ARGUMENTS, *sandbox, f"--user-data-dir={profile}", "about:blank"],
            {**environment, "HOME": profile, "TMPDIR": profile},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
            ],
            setpgroup=0,
        )

    def __enter__(self) -> "_Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._in)
        try:
            os.killpg(self._pid, signal.SIGKILL)
        finally:
            os.waitpid(self._pid, 0)

    def print(self, html: str) -> bytes:
        """The page as PDF."""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._ask("Emulation.setScriptExecutionDisabled", {"value": True}, session)
        frame = self._ask("Page.getFrameTree", {}, session)["frameTree"]["frame"]["id"]
        self._ask("Page.setDocumentContent", {"frameId": frame, "html": html}, session)
        wanted = {"preferCSSPageSize": True, "printBackground": True, "generateTaggedPDF": True}
        return base64.b64decode(self._ask("Page.printToPDF", wanted, session)["data"])

    def _ask(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._send(msgspec.json.encode(message) + b"\0")
        while True:
            answer = msgspec.json.decode(self._receive())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise Unavailable(f"PDF is unavailable: Chromium refuses {method}")
                return answer["result"]

    def _send(self, message: bytes) -> None:
        os.set_blocking(self._out, False)
        rest = memoryview(message)
        while rest:
            self._wait(self._out, writing=True)
            try:
                rest = rest[os.write(self._out, rest) :]
            except BrokenPipeError:
                raise Unavailable("PDF is unavailable: Chromium ended; it may not be allowed to run here") from None

    def _receive(self) -> bytes:
        while (end := self._buffer.find(b"\0")) < 0:
            self._wait(self._in, writing=False)
            got = os.read(self._in, 1 << 20)
            if not got:
                raise Unavailable("PDF is unavailable: Chromium ended; it may not be allowed to run here")
            self._buffer += got
        message = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return message

    def _wait(self, end: int, *, writing: bool) -> None:
        left = max(0.0, self._until - time.monotonic())
        ready = select.select([] if writing else [end], [end] if writing else [], [], left)
        if not (ready[0] or ready[1]):
            raise Unavailable("PDF is unavailable: Chromium did not answer in time; print the HTML report instead")
