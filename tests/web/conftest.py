"""A real server process, a real browser, and a page that fails its test on any error nobody expected."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from support.require import missing, require
from support.up import Up

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/genescale/static"


class Portal:
    """The built pages behind a process that can be killed and started again on the same port."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("sample_server.py")), str(STATIC), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == str(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def portal() -> Iterator[Portal]:
    require("src/genescale/static", (STATIC / "index.html").exists(), "uv sync --reinstall-package genescale")
    portal = Portal()
    portal.start()
    yield portal
    portal.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Watched:
    """A page and what went wrong on it. A test that breaks something on purpose clears `problems` afterwards."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith(self.origin):
            self.problems.append(f"foreign origin: {request.url}")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Up]:
    """The real thing: `genescale up` on a free port."""
    require("src/genescale/static", (STATIC / "index.html").exists(), "uv sync --reinstall-package genescale")
    up = Up(tmp_path / "data")
    try:
        yield up.wait_until_it_answers()
    finally:
        up.close()


@pytest.fixture
def watched_platform(browser: Browser, platform: Up) -> Iterator[Watched]:
    """A page on the real platform."""
    context = browser.new_context()
    watched = Watched(context.new_page(), f"{platform.url}/")
    yield watched
    context.close()
    assert watched.problems == []


@pytest.fixture
def watched(browser: Browser, portal: Portal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """An open page; parametrize indirectly with the browser's options (color_scheme, contrast, viewport)."""
    options: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(**options)
    watched = Watched(context.new_page(), portal.url)
    yield watched
    context.close()
    assert watched.problems == []
