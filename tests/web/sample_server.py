"""A small server for the portal: the built pages, and a sample answer that grows by the second.

    python tests/web/sample_server.py STATIC_FOLDER [PORT]

Prints the port it listens on. The security headers are those of the gateway, strict on purpose.
"""

import json
import mimetypes
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STARTED = datetime.now(UTC) - timedelta(hours=5, minutes=12)
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


def platform() -> dict[str, object]:
    """One answer of `GET /api/v1/platform`."""
    now = datetime.now(UTC)
    seconds = (now - STARTED).total_seconds()
    wave = int(seconds) % 20

    def ago(**parts: float) -> str:
        return (now - timedelta(**parts)).isoformat().replace("+00:00", "Z")

    return {
        "version": "0.1.0",
        "started_at": STARTED.isoformat().replace("+00:00", "Z"),
        "now": now.isoformat().replace("+00:00", "Z"),
        "log": {"kind": "sqlite", "place": "~/.local/share/genescale/log"},
        "roles": [
            {"name": "gateway", "state": "running", "pid": 40213, "restarts": 0, "since": ago(hours=5, minutes=12)},
            {"name": "worker", "state": "running", "pid": 40871, "restarts": 2, "since": ago(minutes=14)},
            {"name": "coordinator", "state": "backing-off", "pid": None, "restarts": 5, "since": ago(seconds=8)},
            {"name": "keeper", "state": "starting", "pid": 40999, "restarts": 0, "since": ago(seconds=1)},
            {"name": "projector", "state": "stopped", "pid": None, "restarts": 0, "since": ago(hours=1, minutes=3)},
        ],
        "topics": [
            {"name": "genescale-requests", "partitions": 24, "records": int(seconds * 90), "power_safe": True},
            {
                "name": "genescale-results",
                "partitions": 24,
                "records": int(seconds * 88 + wave**2),
                "power_safe": True,
            },
            {"name": "genescale-telemetry", "partitions": 24, "records": int(seconds * 31), "power_safe": False},
            {"name": "genescale-loop-state", "partitions": 24, "records": 1204, "power_safe": True},
            {"name": "genescale-dead-letters", "partitions": 1, "records": 3, "power_safe": True},
        ],
        "groups": [
            {"name": "annotate", "members": 4, "lag": wave * 37},
            {"name": "results-to-clients", "members": 2, "lag": 0},
        ],
        "unavailable": [
            {
                "panel": "analysis",
                "reason": "No analysis can be submitted yet: there is no annotation engine.",
            },
            {"panel": "scaling", "reason": "Workers run on this machine only; nothing scales them yet."},
            {"panel": "cost", "reason": "No price sheet is loaded, so no cost can be stated."},
            {"panel": "healing", "reason": "Crashed roles are restarted; diagnosis and playbooks do not exist yet."},
            {"panel": "models", "reason": "No model is registered."},
        ],
    }


class Handler(BaseHTTPRequestHandler):
    static = Path()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/v1/platform":
            return self.answer(200, "application/json", json.dumps(platform()).encode(), "no-store")
        file = (self.static / ("index.html" if path == "/" else path.lstrip("/"))).resolve()
        if not file.is_relative_to(self.static) or not file.is_file():
            return self.answer(404, "text/plain", b"not here", "no-store")
        caching = "max-age=31536000, immutable" if path.startswith("/assets/") else "no-store"
        return self.answer(200, mimetypes.guess_type(file.name)[0] or "text/plain", file.read_bytes(), caching)

    def answer(self, status: int, kind: str, body: bytes, caching: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": caching,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Quiet: the tests say what went wrong."""


def main() -> None:
    Handler.static = Path(sys.argv[1]).resolve()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
