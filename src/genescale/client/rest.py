"""The few questions that the client asks over REST, with the standard library: nothing here is hot."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from genescale.protocol.frames import AnalysisState
from genescale.protocol.rest import ANALYSES_PATH, AnalysisList

_TIMEOUT_S: Final = 10.0
_AGAIN_S: Final = 5.0
_NOT_THERE: Final = frozenset({404, 405, 501})


async def refetch(
    stream_url: str, token: str | None, cids: Sequence[tuple[str, str | None]]
) -> tuple[AnalysisState, ...]:
    """What the platform knows of these (cid, project) in any session of this subject. Waits until it can be asked."""
    found: list[AnalysisState] = []
    for cid, project in cids:
        url = http_url(stream_url, ANALYSES_PATH, {"cid": cid} | ({"project": project} if project else {}))
        while (answer := await asyncio.to_thread(_get, url, token)) is None:
            await asyncio.sleep(_AGAIN_S)
        found += answer
    return tuple(found)


def http_url(stream_url: str, path: str, query: Mapping[str, str]) -> str:
    """The REST address beside a stream's."""
    parts = urlsplit(stream_url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))


def _get(url: str, token: str | None) -> list[AnalysisState] | None:
    """The answer; [] where the door does not exist; None when it could not be asked."""
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - made from a checked ws(s):// address
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return msgspec.json.decode(answer.read(), type=AnalysisList).states()
    except urllib.error.HTTPError as error:
        return [] if error.code in _NOT_THERE else None
    except OSError:
        return None
