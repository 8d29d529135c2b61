"""A real WebSocket server around `ServerSession`, with a store in memory: what the clients are tested against.

It answers every sequence with its length. Tests hold answers back, cut connections and start a second server.
"""

import asyncio
import time
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from genescale.protocol import frames
from genescale.protocol import server_steps as s
from genescale.protocol.closing import UNAUTHENTICATED, Closing
from genescale.protocol.server import Limits, ServerSession


class Shelf:
    """What survives a server: requests, results, sessions."""

    def __init__(self) -> None:
        self.sessions: dict[str, list[s.Final]] = {}
        self.asked: dict[tuple[str, str], bytes] = {}
        self.unanswered: list[tuple[str, str, bytes]] = []
        self.hold = False
        self.tokens = {"good"}

    def answer(self, session: str, cid: str, payload: bytes) -> None:
        rows = self.sessions[session]
        length = len(msgspec.json.decode(payload).get("sequence", ""))
        frame = frames.Result(
            seq=len(rows) + 1,
            ref="",
            cid=cid,
            analysis_id=f"id-{cid}",
            revision=1,
            data=msgspec.Raw(msgspec.json.encode({"status": "success", "summary": {"length": length}})),
        )
        rows.append(s.Final(frame.seq, cid, frames.encode(frame)))


class StreamServer:
    """One gateway of the test's own."""

    def __init__(self, shelf: Shelf, limits: Limits | None = None) -> None:
        self.shelf, self.limits = shelf, limits
        self.lines: list[Line] = []
        self.server: Server | None = None
        self.port = 0

    async def __aenter__(self) -> "StreamServer":
        self.server = await serve(self._serve, "127.0.0.1", self.port, subprotocols=["genescale.v1"], compression=None)
        self.port = next(iter(self.server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        assert self.server is not None
        self.cut()
        self.server.close(close_connections=False)
        await self.server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/stream"

    def cut(self) -> None:
        """Every connection breaks without a close frame."""
        for line in list(self.lines):
            line.socket.transport.abort()

    def tell(self, event: s.Event) -> None:
        for line in list(self.lines):
            line.do(event)

    def release(self) -> None:
        """Answer what was held back."""
        for session, cid, payload in self.shelf.unanswered:
            self.shelf.answer(session, cid, payload)
        self.shelf.unanswered.clear()
        for line in self.lines:
            line.look()

    async def _serve(self, socket: ServerConnection) -> None:
        line = Line(self, socket)
        self.lines.append(line)
        try:
            await line.run()
        finally:
            self.lines.remove(line)


class Line:
    """One connection."""

    def __init__(self, server: StreamServer, socket: ServerConnection) -> None:
        self.server, self.shelf, self.socket = server, server.shelf, socket
        self.machine = ServerSession(server.limits)
        self.out: asyncio.Queue[str | Closing] = asyncio.Queue()
        self.session = ""

    async def run(self) -> None:
        self.do(s.Opened())
        writer = asyncio.create_task(self._write())
        try:
            async for message in self.socket:
                self.do(s.Arrived(message))
        except ConnectionClosed:
            pass
        finally:
            self.do(s.Lost())
            writer.cancel()

    async def _write(self) -> None:
        while True:
            one = await self.out.get()
            if isinstance(one, Closing):
                await self.socket.close(one.code, one.reason)
                return
            await self.socket.send(one)
            self.do(s.Written())

    def do(self, event: s.Event) -> None:
        for action in self.machine.step(event, time.monotonic(), time.time_ns() // 1_000_000):
            self._carry_out(action)

    def look(self) -> None:
        if self.session:
            self.do(s.Available(len(self.shelf.sessions[self.session])))

    def _carry_out(self, action: s.Action) -> None:
        match action:
            case s.Send(text):
                self.out.put_nowait(text)
            case s.Close(closing):
                self.out.put_nowait(closing)
            case s.Authenticate(hello, _):
                self._open(hello)
            case s.Admit(frame):
                self._admit(frame)
            case s.Fetch(after, limit):
                self.do(s.Fetched(tuple(self.shelf.sessions[self.session][after : after + limit])))
            case s.Follow(topic):
                self.do(s.FollowAnswered(topic))
                live = frames.Metrics(key=topic, ver=1, at="2026-11-21T10:00:00Z")
                self.do(s.Live(topic, topic, 1, frames.encode(live)))
            case _:
                pass

    def _open(self, hello: frames.Hello) -> None:
        if hello.token not in self.shelf.tokens:
            self.do(s.HelloRefused(UNAUTHENTICATED))
            return
        resume = hello.resume
        known = resume is not None and resume.session in self.shelf.sessions
        self.session = resume.session if resume and known else f"s{len(self.shelf.sessions)}"
        for line in self.server.lines:
            if line is not self and line.session == self.session:
                line.do(s.TakenOver())
        rows = self.shelf.sessions.setdefault(self.session, [])
        self.do(
            s.SessionOpened(
                session=self.session,
                epoch="e1",
                resumed=known,
                position=resume.last_seq if resume and known else len(rows),
                last_seq=len(rows),
                resume_token="r",
            )
        )

    def _admit(self, frame: frames.Submit | frames.SubmitBatch) -> None:
        payload = frames.encode(frame).encode()
        key = (self.session, frame.cid)
        duplicate = key in self.shelf.asked
        if duplicate and self.shelf.asked[key] != payload:
            reply: Any = frames.Rejected(cid=frame.cid, code="cid_conflict", message="other content", retryable=False)
            self.do(s.SubmitAnswered(reply))
            return
        self.shelf.asked[key] = payload
        if isinstance(frame, frames.Submit):
            asked = [(frame.cid, bytes(frame.data))]
            reply = frames.Accepted(cid=frame.cid, analysis_id=f"id-{frame.cid}", ref="", duplicate=duplicate)
        else:
            asked = [(f"{frame.cid}#{i}", bytes(item)) for i, item in enumerate(frame.items)]
            reply = frames.AcceptedBatch(
                cid=frame.cid, batch_id=f"id-{frame.cid}", count=len(asked), ref="", duplicate=duplicate
            )
        self.do(s.SubmitAnswered(reply, 0 if duplicate else len(asked)))
        progress = frames.Progress(key=f"analysis:id-{frame.cid}", ver=1, data={"stage": "parse"})
        self.do(s.Live(progress.key, progress.key, 1, frames.encode(progress)))
        if not duplicate:
            self.shelf.unanswered += [(self.session, cid, data) for cid, data in asked]
        if not self.shelf.hold:
            self.server.release()
