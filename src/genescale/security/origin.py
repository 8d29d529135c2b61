"""The Origin check at the handshake: it keeps a page of somebody else from using the browser's cookie here.

Browsers always send `Origin` with a WebSocket and with a POST from another page, and a page cannot change it. Programs
send none. uvicorn does not look at it.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from genescale.errors import InvalidInput

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def normal_origin(text: str) -> str | None:
    """`scheme://host:port` in one spelling; None for whatever is not exactly an origin, `null` included."""
    if len(text) > 300 or not text.isascii() or not text.isprintable() or any(c in text for c in " \\@?#*"):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path or parts.netloc.endswith(":"):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or _PORTS[parts.scheme]}"


class Origins:
    """The allow-list. Entries are whole origins; nothing is matched by its beginning or end."""

    def __init__(self, allowed: Iterable[str]) -> None:
        known: set[str] = set()
        for entry in allowed:
            origin = normal_origin(entry)
            if origin is None:
                raise InvalidInput(
                    f"{entry!r} is no origin; write scheme, host and perhaps port, as in https://genescale.example.org",
                    code="bad_origin",
                )
            known.add(origin)
        self._allowed = frozenset(known)

    def allows(self, origin: str | None, *, bearer: bool) -> bool:
        """May this handshake go on? None (no header) only with a bearer header: SDK and CLI send no Origin."""
        if origin is None:
            return bearer
        return normal_origin(origin) in self._allowed
