"""The client for programs that do not use asyncio: the same, with its loop in a thread of its own.

with SyncClient("wss://genescale.example/api/v1/stream", token) as client:
    outcome = client.submit(sequence="ACGT...")
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from genescale.client.aio import Client
from genescale.client.answers import Outcome

_Value = TypeVar("_Value")


class SyncClient:
    """Takes what `Client` takes. Its methods block, and may be called from several threads at once."""

    def __init__(self, url: str, token: str | None = None, **options: Any) -> None:
        self._client = Client(url, token, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="genescale-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._client.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def session(self) -> str | None:
        """See `Client`."""
        return self._client.session

    def submit(self, **request: Any) -> Outcome:
        """See `Client.submit`."""
        return self._wait(self._client.submit(**request))

    def submit_batch(self, *args: Any, **request: Any) -> list[Outcome]:
        """See `Client.submit_batch`."""
        return self._wait(self._client.submit_batch(*args, **request))

    def cancel(self, cid: str) -> None:
        """See `Client.cancel`."""
        self._loop.call_soon_threadsafe(self._client.cancel, cid)

    def _wait(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
