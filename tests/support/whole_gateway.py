"""A whole gateway on a free port, with a worker beside it, in threads of this process."""

import asyncio
import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from websockets.sync.client import connect

from genescale.clock import SystemClock
from genescale.events.memory import MemoryLog
from genescale.events.runner import LoopSettings, Runner
from genescale.events.topics import TOPICS
from genescale.gateway.admission import Admission
from genescale.gateway.app import Gateway
from genescale.gateway.delivery import Delivery
from genescale.gateway.live import LiveValues
from genescale.gateway.rest import Rest
from genescale.gateway.results import Results
from genescale.gateway.sessions import SessionIndex
from genescale.gateway.sign_in import SignIn
from genescale.gateway.socket import Holders, Stream
from genescale.gateway.submitting import GroupCommit, Submitting
from genescale.gateway.tables import GATEWAY_TABLES
from genescale.genomics.references import References
from genescale.observability.probe import State
from genescale.protocol.server import Limits
from genescale.security.keys import FileKeys
from genescale.security.origin import Origins
from genescale.security.passwords import Passwords
from genescale.security.revocations import Revocations
from genescale.security.sealing import ProjectSealer
from genescale.security.tables import SECURITY_TABLES
from genescale.security.tickets import ResumeTokens, Tickets
from genescale.security.users import Users
from genescale.store.sqlite import open_sqlite_tables
from genescale.worker.deps import OpenReferences, WorkerDeps
from genescale.worker.handler import subscription

SECRET = b"s" * 32
PAGE = "http://127.0.0.1:1"


class Platform:
    """Log, tables, keys and users, which all gateways share; close ends all threads that were started here."""

    def __init__(self, folder):
        self.stack = contextlib.ExitStack()
        self.clock = SystemClock()
        self.folder = folder
        self.log = MemoryLog(self.clock)
        self.log.create_topics(TOPICS)
        self.tables = open_sqlite_tables(folder / "tables.sqlite", (*GATEWAY_TABLES, *SECURITY_TABLES), self.clock)
        self.stack.callback(self.tables.close)
        self.sealer = ProjectSealer(FileKeys(folder / "keys", self.clock))
        self.revocations = Revocations(self.tables, self.clock, fresh_s=0.1)
        self.users = Users(self.tables, self.clock, Passwords(time_cost=1, memory_kib=64), self.revocations)
        self.owner = self.users.owner()

    def token(self, subject=None):
        return self.users.redeem_link(self.users.link(subject or self.owner)).token.reveal()

    def gateway(self, **options):
        gateway = Side(self, **options)
        self.stack.callback(gateway.close)
        return gateway

    def worker(self):
        references = OpenReferences(References(self.folder / "references"))
        deps = WorkerDeps(references, self.clock, self.sealer)
        runner = Runner(self.log, subscription("normal", deps), LoopSettings(), self.clock, version="test", seed=1)
        thread = threading.Thread(target=runner.run)
        thread.start()

        def end():
            runner.stop()
            thread.join(20)
            assert not thread.is_alive()

        self.stack.callback(end)

    def close(self):
        self.stack.close()


class Side:
    """One gateway with its own server and threads."""

    def __init__(self, platform, limits=None, settings=None):
        self.executor = ThreadPoolExecutor(4)
        index = SessionIndex(platform.tables, platform.clock)
        holders = Holders()
        self.delivery = Delivery(
            platform.log,
            platform.tables,
            index,
            platform.clock,
            sealer=platform.sealer,
            held=holders.sessions,
            on_frames=holders.on_frames,
        )
        results = Results(platform.log, platform.tables, self.delivery, platform.clock)
        origins, tickets = Origins([PAGE]), Tickets(platform.tables, platform.clock)
        admission = Admission(platform.clock, platform.sealer)
        commit = GroupCommit(Submitting(platform.log, platform.tables, platform.clock), self.executor)
        sign_in = SignIn(
            users=platform.users, tickets=tickets, origins=origins, executor=self.executor, clock=platform.clock
        )
        self.stream = Stream(
            sign_in=sign_in,
            origins=origins,
            tickets=tickets,
            resume_tokens=ResumeTokens([SECRET], platform.clock),
            users=platform.users,
            revocations=platform.revocations,
            admission=admission,
            commit=commit,
            index=index,
            holders=holders,
            results=results,
            live=LiveValues(),
            epoch=self.delivery.epoch,
            executor=self.executor,
            clock=platform.clock,
            server={"id": "test", "version": "test"},
            seed=1,
            limits=limits or Limits(),
            settings=settings,
        )
        rest = Rest(
            admission=admission,
            commit=commit,
            results=results,
            authenticate=sign_in.recognised,
            executor=self.executor,
        )
        app = Gateway(
            pages={}, platform=None, ready=lambda: State(ok=True), rest=rest, sign_in=sign_in, stream=self.stream
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = uvicorn.Server(
            uvicorn.Config(
                app,
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                ws_max_size=1_048_576,
                log_config=None,
                timeout_graceful_shutdown=3,
            )
        )
        self.stop = threading.Event()
        self.loop = None
        self.threads = [
            threading.Thread(target=self._serve),
            threading.Thread(target=self.delivery.run, args=(self.stop,)),
        ]
        for thread in self.threads:
            thread.start()

    def _serve(self):
        async def main():
            self.loop = asyncio.get_running_loop()
            await self.server.serve(sockets=[self.listener])

        asyncio.run(main())

    def drain(self, deadline_s=5.0):
        return asyncio.run_coroutine_threadsafe(self.stream.drain(deadline_s), self.loop)

    def close(self):
        self.server.should_exit = True
        self.stop.set()
        self.delivery.wake()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        self.delivery.close()
        self.executor.shutdown()

    def connect(self, token=None, path="/api/v1/stream", subprotocols=("genescale.v1",), **headers):
        extra = {name.title(): value for name, value in headers.items()}
        if token is not None:
            extra["Authorization"] = f"Bearer {token}"
        return connect(
            f"ws://127.0.0.1:{self.port}{path}",
            subprotocols=list(subprotocols) or None,
            additional_headers=extra,
            compression=None,
            proxy=None,
            close_timeout=2,
        )


class Client:
    """A conversation, frame by frame."""

    def __init__(self, socket):
        self.socket = socket

    def send(self, **frame):
        self.socket.send(json.dumps(frame))

    def next(self, *types, timeout_s=20.0):
        """The next frame of one of these types; others are passed over."""
        while True:
            frame = json.loads(self.socket.recv(timeout_s))
            if frame["type"] in types:
                return frame

    def hello(self, resume=None):
        self.send(type="hello", v=1, **({"resume": resume} if resume else {}))
        return self.next("welcome")
