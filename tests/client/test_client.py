import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from genescale.client.aio import Client
from genescale.client.answers import Ended, Outcome, Refused
from genescale.client.store import FileStore
from genescale.client.sync import SyncClient
from genescale.errors import InvalidInput
from genescale.protocol import server_steps as s
from genescale.protocol.closing import FORBIDDEN, UNAUTHENTICATED, Reaction
from genescale.protocol.server import Limits
from support.stream_server import Shelf, StreamServer


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_submit_and_its_answer():
    async def work() -> None:
        async with StreamServer(Shelf()) as server, Client(server.url, "good", seed=1) as client:
            seen: list[Any] = []
            outcome = await client.submit(sequence="ACGT", on_progress=seen.append)
            assert outcome.status == "success"
            assert outcome.data == {"status": "success", "summary": {"length": 4}}
            assert client.session == "s0"
            await client.submit(sequence="A", on_progress=seen.append)
            assert seen in ([], [{"stage": "parse"}], [{"stage": "parse"}] * 2)  # the newest state, not every state

    run(work)


def test_a_batch_comes_back_in_its_order():
    async def work() -> None:
        async with StreamServer(Shelf()) as server, Client(server.url, "good") as client:
            each: list[Outcome] = []
            outcomes = await client.submit_batch([{"sequence": "A" * i} for i in range(1, 51)], on_result=each.append)
            assert [one.data["summary"]["length"] for one in outcomes if one.data] == list(range(1, 51))
            assert len(each) == 50

    run(work)


def test_more_than_max_inflight_waits_its_turn():
    async def work() -> None:
        limits = Limits(inflight_max=4, frames_burst=30, frames_per_s=500)
        async with StreamServer(Shelf(), limits) as server, Client(server.url, "good") as client:
            outcomes = await asyncio.gather(*(client.submit(sequence="A" * i) for i in range(1, 101)))
            assert [one.data["summary"]["length"] for one in outcomes if one.data] == list(range(1, 101))

    run(work)


def test_every_answer_comes_once_though_the_wire_is_cut_again_and_again():
    async def work() -> None:
        shelf = Shelf()
        async with StreamServer(shelf) as server, Client(server.url, "good", seed=3) as client:
            seen: list[Outcome] = []
            pending = [asyncio.create_task(client.submit(sequence="A" * i)) for i in range(1, 31)]
            for task in pending:
                task.add_done_callback(lambda task: seen.append(task.result()))
            for _ in range(4):
                await asyncio.sleep(0.05)
                server.cut()
            await asyncio.gather(*pending)
            assert len(seen) == len({one.cid for one in seen}) == 30
            assert len(shelf.sessions) == 1

    run(work)


def test_answers_that_came_while_nobody_was_connected_are_there_after_the_restart():
    async def work() -> None:
        shelf = Shelf()
        shelf.hold = True
        first = StreamServer(shelf)
        await first.__aenter__()
        async with Client(first.url, "good", seed=1) as client:
            pending = asyncio.create_task(client.submit(sequence="ACGT"))
            await until(lambda: shelf.unanswered)
            await first.stop()
            second = StreamServer(shelf)
            second.port = first.port
            second.release()
            async with second:
                assert (await pending).status == "success"

    run(work)


def test_draining_moves_the_client_without_an_error():
    async def work() -> None:
        shelf = Shelf()
        shelf.hold = True
        async with StreamServer(shelf) as server, Client(server.url, "good") as client:
            pending = asyncio.create_task(client.submit(sequence="ACGT"))
            await until(lambda: shelf.unanswered)
            server.tell(s.Drain(20))
            await until(lambda: not server.lines)
            await until(lambda: server.lines)
            server.release()
            assert (await pending).status == "success"

    run(work)


def test_a_refused_request_says_why():
    async def work() -> None:
        shelf = Shelf()
        shelf.asked["s0", "mine"] = b"something else"
        async with StreamServer(shelf) as server, Client(server.url, "good") as client:
            with pytest.raises(Refused) as refused:
                await client.submit(sequence="ACGT", cid="mine")
            assert refused.value.code == "cid_conflict"
            with pytest.raises(Refused) as refused:
                await client.submit(sequence="A" * 300_000)
            assert refused.value.code == "too_large"

    run(work)


def test_a_revoked_credential_ends_it():
    async def work() -> None:
        shelf = Shelf()
        shelf.hold = True
        async with StreamServer(shelf) as server, Client(server.url, "good") as client:
            pending = asyncio.create_task(client.submit(sequence="ACGT"))
            await until(lambda: shelf.unanswered)
            server.tell(s.CredentialRefused(FORBIDDEN))
            with pytest.raises(Ended):
                await pending
            with pytest.raises(Ended):
                await client.submit(sequence="ACGT")

    run(work)


def test_an_expired_credential_is_refreshed():
    async def work() -> None:
        shelf = Shelf()
        shelf.hold = True

        async def refresh() -> str:
            return "newer"

        async with StreamServer(shelf) as server, Client(server.url, "good", refresh=refresh, seed=1) as client:
            pending = asyncio.create_task(client.submit(sequence="ACGT"))
            await until(lambda: shelf.unanswered)
            shelf.tokens = {"newer"}
            server.tell(s.CredentialRefused(UNAUTHENTICATED))
            await until(lambda: server.lines and server.lines[0].session)
            server.release()
            assert (await pending).status == "success"

    run(work)


def test_no_credential_means_log_in():
    async def work() -> None:
        async with StreamServer(Shelf()) as server, Client(server.url, "bad") as client:
            with pytest.raises(Ended) as ended:
                await client.submit(sequence="ACGT")
            assert ended.value.reaction is Reaction.REFRESH

    run(work)


def test_a_second_client_takes_the_session_over_and_the_first_may_take_it_back(tmp_path: Path):
    async def work() -> None:
        store = FileStore(tmp_path / "session.json")
        async with StreamServer(Shelf()) as server, Client(server.url, "good", store=store, seed=1) as first:
            await first.submit(sequence="A")
            async with Client(server.url, "good", store=store) as second:
                await second.submit(sequence="AC")
                with pytest.raises(Ended) as ended:
                    await first.submit(sequence="ACG")
                assert ended.value.reaction is Reaction.TAKE_BACK
            first.take_back()
            assert (await first.submit(sequence="ACGT")).status == "success"

    run(work)


def test_the_next_process_gets_what_the_last_one_asked_for(tmp_path: Path):
    async def work() -> None:
        store = FileStore(tmp_path / "session.json")
        shelf = Shelf()
        shelf.hold = True
        async with StreamServer(shelf) as server:
            async with Client(server.url, "good", store=store) as client:
                pending = [asyncio.create_task(client.submit(sequence="A", cid=cid)) for cid in ("one", "two")]
                await until(lambda: len(shelf.unanswered) == 2)
            for task in pending:
                with contextlib.suppress(Ended):
                    await task
            server.release()
            unclaimed: list[Outcome] = []
            async with Client(server.url, "good", store=store, unclaimed=unclaimed.append) as client:
                assert (await client.submit(sequence="A", cid="two")).status == "success"
                await until(lambda: unclaimed)
            assert [one.cid for one in unclaimed] == ["one"]
            assert store.load().asks == {}
            assert len(shelf.sessions) == 1
        assert (tmp_path / "session.json").stat().st_mode & 0o077 == 0

    run(work)


def test_live_topics():
    async def work() -> None:
        async with StreamServer(Shelf()) as server, Client(server.url, "good") as client:
            seen: list[Any] = []
            client.watch("metrics", seen.append)
            await until(lambda: seen)
            assert seen[0].key == "metrics"
            client.unwatch("metrics")

    run(work)


def test_the_blocking_client():
    started: asyncio.Queue[Any] = asyncio.Queue()

    async def work() -> None:
        async with StreamServer(Shelf()) as server:
            started.put_nowait(await asyncio.to_thread(use, server.url))

    def use(url: str) -> list[str]:
        with SyncClient(url, "good") as client:
            one = client.submit(sequence="ACGT")
            return [one.status, *(each.status for each in client.submit_batch([{"sequence": "A"}] * 3))]

    run(work)
    assert started.get_nowait() == ["success"] * 4


def test_nothing_goes_out_in_the_open():
    with pytest.raises(InvalidInput):
        Client("ws://example.org/api/v1/stream")
    with pytest.raises(InvalidInput):
        Client("https://example.org/")
