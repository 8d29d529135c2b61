"""A small world around the two pure machines: clients, wires, two gateways, a log, a session index, workers.

Everything that takes time in the real world is a piece of work that happens when somebody says so, or never, because
the gateway died before. Checkers look at every step. Nothing here is random by itself: who drives it decides.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from genescale.protocol import client_steps as c
from genescale.protocol import closing, frames
from genescale.protocol import server_steps as s
from genescale.protocol.conversation import Conversation
from genescale.protocol.conversation import State as ClientState
from genescale.protocol.server import Limits, ServerSession
from genescale.protocol.server import State as ServerState

LIMITS = Limits(outbox_max=8, fetch_max=3, inflight_max=4, frames_per_s=20, frames_burst=20, live_keys_max=4)
WALL_MS = 1_800_000_000_000


@dataclass
class Session:
    subject: str
    rows: list[str] = field(default_factory=list)  # analysis ids; the place in the list is seq - 1
    acked: int = 0
    window_from: int = 0  # frames up to here can no longer be replayed
    holder: "Link | None" = None


@dataclass
class Analysis:
    session: str
    cid: str
    payload: bytes
    final: str | None = None  # the first final event wins


class Store:
    """The durable part: the log, its results, the session index, the cid table."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.sessions: dict[str, Session] = {}
        self.submissions: dict[tuple[str, str], tuple[bytes, list[str]]] = {}
        self.analyses: dict[str, Analysis] = {}  # what is on the request topic
        self.finals: list[tuple[str, str]] = []  # the result topic; re-runs append again
        self.tail = 0

    def commit(self, session: str, frame: frames.Submit | frames.SubmitBatch) -> tuple[str, bool] | None:
        """Append the request, or find it again; None for another payload under the same cid."""
        payload = msgspec.json.encode(frame)
        known = self.submissions.get((session, frame.cid))
        if known is not None:
            return (known[1][0], True) if known[0] == payload else None
        if isinstance(frame, frames.Submit):
            cids = [frame.cid]
        else:
            cids = [f"{frame.cid}#{i}" for i in range(frame.generate.count if frame.generate else len(frame.items))]
        ids = [f"{session}/{cid}" for cid in cids]
        for one, cid in zip(ids, cids, strict=True):
            self.analyses[one] = Analysis(session, cid, payload)
        self.submissions[session, frame.cid] = (payload, ids)
        return ids[0], False

    def project(self) -> None:
        """The result topic into the session index, in one transaction with the position."""
        for analysis_id, outcome in self.finals[self.tail :]:
            analysis = self.analyses[analysis_id]
            if analysis.final is None:
                analysis.final = outcome
                self.sessions[analysis.session].rows.append(analysis_id)
        self.tail = len(self.finals)

    def renumber(self, draw: random.Random) -> None:
        """A new epoch: every session's frames get other numbers."""
        self.epoch = f"e{int(self.epoch[1:]) + 1}"
        for session in self.sessions.values():
            draw.shuffle(session.rows)
            session.acked = session.window_from = 0

    def unfinished(self, session: str) -> dict[str, int]:
        left = {
            cid: sum(self.analyses[one].final is None for one in ids)
            for (owner, cid), (_, ids) in self.submissions.items()
            if owner == session
        }
        return {cid: count for cid, count in left.items() if count}

    def states(self, session: str) -> tuple[frames.AnalysisState, ...]:
        return tuple(
            frames.AnalysisState(cid=one.cid, analysis_id=key, state=one.final or "accepted")
            for key, one in self.analyses.items()
            if one.session == session
        )

    def final_frame(self, session: str, seq: int) -> s.Final:
        analysis_id = self.sessions[session].rows[seq - 1]
        one = self.analyses[analysis_id]
        where = {"seq": seq, "ref": f"annotated/0/{seq}", "cid": one.cid, "analysis_id": analysis_id}
        if one.final == "failed":
            frame: Any = frames.Failed(**where, code="WORKER_FAILED", message="it failed", retryable=False)
        else:
            frame = frames.Result(**where, revision=1, data=msgspec.Raw(b'{"status":"success"}'))
        return s.Final(seq, one.cid, frames.encode(frame))


class Link:
    """One socket: what waits on each way, and the server's machine at its end."""

    def __init__(self, number: int, client: "Client", gateway: "Gateway") -> None:
        self.number, self.client, self.gateway = number, client, gateway
        self.machine = ServerSession(LIMITS)
        self.session: str | None = None
        self.up: deque[str] = deque()
        self.outbox: deque[str] = deque()  # sent by the machine, not yet taken by the socket
        self.down: deque[str | int] = deque()  # on the wire; a number is a close code
        self.following: set[str] = set()
        self.draining = False


class Gateway:
    """A process: its connections and the work that dies with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.links: list[Link] = []
        self.work: deque[tuple[str, Callable[[], None]]] = deque()
        self.alive = True
        self.draining = False


class Client:
    """A program or a tab: the pure client, what its person has seen, and what it keeps between its lives."""

    def __init__(self, name: str, subject: str, machine: Conversation) -> None:
        self.name, self.subject, self.machine = name, subject, machine
        self.link: Link | None = None
        self.kept: c.Position | None = None
        self.hands: deque[c.Answer] = deque()  # delivered, not yet applied
        self.asked: dict[str, frames.Submit | frames.SubmitBatch] = {}
        self.seen: dict[str, c.Answer] = {}
        self.refused: set[str] = set()
        self.versions: dict[str, int] = {}
        self.last_numbers: tuple[str, str, int] = ("", "", 0)
        self.stopped: closing.Reaction | None = None
        self.errands: deque[tuple[str, Callable[[], None]]] = deque()
        self.reads = True


class World:
    """All of it. Each public method is one thing that can happen."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.now_s, self.wall_ms = 1_000.0, WALL_MS
        self.store = Store()
        self.gateways = [Gateway("g0"), Gateway("g1")]
        self.clients: list[Client] = []
        self.links = 0
        self.cids = 0
        self.live_ver = 0
        self.revoked: set[str] = set()
        self.trace: list[str] = []
        self.accepted: set[str] = set()
        self.closings: list[int] = []

    # --- clients ----------------------------------------------------------------------------------------------------

    def new_client(self, subject: str) -> Client:
        client = Client(f"c{len(self.clients)}", subject, self._machine(None, subject))
        self.clients.append(client)
        self.note(f"{client.name} begins as {subject}")
        return client

    def reload(self, client: Client) -> None:
        """The page is loaded again: only what was kept survives."""
        self._drop_link(client)
        self._begin_again(client)
        self.note(f"{client.name} reloads")

    def second_tab(self, client: Client) -> Client:
        """The same session is opened once more, with everything that the first tab had kept."""
        tab = Client(f"c{len(self.clients)}", client.subject, self._machine(client.kept, client.subject))
        tab.kept, tab.asked, tab.seen = client.kept, dict(client.asked), dict(client.seen)
        tab.refused = set(client.refused)
        self.clients.append(tab)
        self.note(f"{tab.name} is a second tab of {client.name}")
        self._begin_again(tab)
        return tab

    def _begin_again(self, client: Client) -> None:
        client.machine = self._machine(client.kept, client.subject)
        client.hands.clear()
        client.errands.clear()
        client.versions.clear()
        client.last_numbers = ("", "", 0)
        client.stopped = None
        base_seen = client.refused | {cid for cid in client.asked if self._is_answered(client, cid)}
        waiting = tuple(frame for cid, frame in client.asked.items() if cid not in base_seen)
        bases = {frame.cid for frame in waiting}
        items = [cid for cid in client.seen if "#" in cid and cid.partition("#")[0] in bases]
        frameless = [cid for cid, answer in client.seen.items() if answer.frame is None and cid not in items]
        self.client_step(client, c.Restored(waiting, (*items, *frameless)))

    def _machine(self, position: c.Position | None, subject: str) -> Conversation:
        return Conversation(self.random.random, token=subject, position=position)

    def ask(self, client: Client, items: int = 0, project: str = "p") -> None:
        cid = f"k{self.cids}"
        self.cids += 1
        data = msgspec.Raw(b'{"sequence":"ACGT"}')
        frame: frames.Submit | frames.SubmitBatch
        if items:
            frame = frames.SubmitBatch(cid=cid, project=project, items=[data] * items)
        else:
            frame = frames.Submit(cid=cid, project=project, data=data)
        client.asked[cid] = frame
        self.note(f"{client.name} asks {cid} x{items}")
        self.client_step(client, c.Asked(frame))

    def ask_otherwise(self, client: Client) -> None:
        """The cid of an answered analysis, with other content, past the client's own care."""
        here = client.kept.session if client.kept else ""
        answered = [cid for cid in client.asked if cid in client.seen and (here, cid) in self.store.submissions]
        if answered and client.link is not None and client.machine.state is ClientState.OPEN:
            other = msgspec.Raw(b'{"sequence":"TTTT"}')
            client.link.up.append(frames.encode(frames.Submit(cid=answered[-1], project="p", data=other)))

    def cancel(self, client: Client) -> None:
        for cid in sorted(client.machine.waiting)[:1]:
            self.client_step(client, c.Cancelled(cid))

    def watch(self, client: Client) -> None:
        self.client_step(client, c.Watched("metrics"))

    def apply(self, client: Client) -> None:
        """The application takes the next answer, and with it the position is kept."""
        if client.hands:
            answer = client.hands.popleft()
            assert answer.cid not in client.seen, f"{client.name} sees {answer.cid} twice"
            client.seen[answer.cid] = answer
            self.client_step(client, c.Applied(answer))

    def errand(self, client: Client) -> None:
        """Something that the client does outside the stream comes to its end."""
        if client.errands:
            what, do = client.errands.popleft()
            self.note(f"{client.name} {what}")
            do()

    def client_tick(self, client: Client) -> None:
        self.client_step(client, c.Tick())

    def client_step(self, client: Client, event: c.Event) -> None:
        was_stopped = client.machine.state is ClientState.STOPPED
        for action in client.machine.step(event, self.now_s):
            if was_stopped and not isinstance(event, c.TakeBack | c.Refreshed):
                assert not isinstance(action, c.Connect), "a stopped client must not connect"
            self._client_does(client, action)

    def _client_does(self, client: Client, action: c.Action) -> None:
        match action:
            case c.Connect():
                client.errands.append(("connects", lambda: self._connect(client)))
            case c.SendText(text):
                if client.link:
                    client.link.up.append(text)
            case c.Disconnect(code):
                self.note(f"{client.name} closes {code}")
                assert code != 4400, self.explain("the client found a broken stream")
                self._drop_link(client)
            case c.Deliver(answer):
                self._delivered(client, answer)
            case c.Tell(frame):
                self._told(client, frame)
            case c.Keep(position):
                client.kept = position
            case c.AskSession():
                status = 403 if client.subject in self.revoked else 200
                client.errands.append(
                    ("asks for its session", lambda: self.client_step(client, c.SessionAsked(status)))
                )
            case c.RefreshCredential():
                client.errands.append(("refreshes", lambda: self.client_step(client, c.Refreshed(client.subject))))
            case c.Refetch(cids):
                client.errands.append(("refetches", lambda: self._refetch(client, cids)))
            case c.Stop(reason, reaction):
                self.note(f"{client.name} stops: {reason}")
                client.stopped = reaction

    def _refetch(self, client: Client, cids: tuple[str, ...]) -> None:
        mine = {key for key, one in self.store.sessions.items() if one.subject == client.subject}
        found: list[frames.AnalysisState] = []
        for key, one in self.store.analyses.items():
            if one.session in mine and one.cid.partition("#")[0] in cids:
                found.append(frames.AnalysisState(cid=one.cid, analysis_id=key, state=one.final or "accepted"))
        self.client_step(client, c.Refetched(tuple(found)))

    def _delivered(self, client: Client, answer: c.Answer) -> None:
        assert answer.cid not in [one.cid for one in client.hands], f"{answer.cid} delivered twice"
        if answer.seq is not None:
            session, epoch, seq = client.last_numbers
            if (session, epoch) == (answer.session, answer.epoch):
                assert answer.seq > seq, "numbers went backwards"
            client.last_numbers = (answer.session, answer.epoch, answer.seq)
        client.hands.append(answer)

    def _told(self, client: Client, frame: frames.ServerFrame) -> None:
        if isinstance(frame, frames.Rejected) and frame.code in {"forbidden", "cancelled"}:
            client.refused.add(frame.cid)
        if isinstance(frame, frames.Metrics):
            assert frame.ver >= client.versions.get(frame.key, -1)
            client.versions[frame.key] = frame.ver

    # --- wires ------------------------------------------------------------------------------------------------------

    def _connect(self, client: Client) -> None:
        alive = [one for one in self.gateways if one.alive and not one.draining]
        if not alive:
            self.client_step(client, c.Disconnected(1006))
            return
        gateway = self.random.choice(alive)
        self._drop_link(client)
        self.links += 1
        link = Link(self.links, client, gateway)
        gateway.links.append(link)
        client.link = link
        self.note(f"{client.name} has link {link.number} to {gateway.name}")
        self.server_step(link, s.Opened())
        self.client_step(client, c.Connected())

    def _drop_link(self, client: Client) -> None:
        """The client's end is gone; the gateway learns it when it does."""
        link, client.link = client.link, None
        if link is not None and link.gateway.alive:
            link.gateway.work.append((f"link {link.number} is lost", lambda: self.server_step(link, s.Lost())))

    def cut(self, client: Client) -> None:
        """The wire breaks: everything on it is gone, both ends learn of it in their own time."""
        if client.link is not None:
            self.note(f"cut link {client.link.number}")
            self._drop_link(client)
            client.errands.append(("sees the cut", lambda: self.client_step(client, c.Disconnected(1006))))

    def carry_up(self, client: Client) -> None:
        """One frame arrives at the gateway."""
        link = client.link
        if link is not None and link.up and link.gateway.alive:
            text = link.up.popleft()
            self.note(f"link {link.number} up {self.short(text)}")
            self.server_step(link, s.Arrived(text))

    def write(self, link: Link) -> None:
        """The socket takes one text, unless the peer has stopped reading and the buffers are full."""
        if link.outbox and (link.client.reads or len(link.down) < 2):
            link.down.append(link.outbox.popleft())
            self.server_step(link, s.Written())

    def carry_down(self, client: Client) -> None:
        """One frame arrives at the client."""
        link = client.link
        if link is None or not link.down or not client.reads:
            return
        one = link.down.popleft()
        self.note(f"link {link.number} down {self.short(one)}")
        if isinstance(one, int):
            client.link = None
            self.client_step(client, c.Disconnected(one))
        else:
            self.client_step(client, c.Received(one))

    # --- gateways ---------------------------------------------------------------------------------------------------

    def server_step(self, link: Link, event: s.Event) -> None:
        before = link.machine.state
        for action in link.machine.step(event, self.now_s, self.wall_ms):
            self._server_does(link, action, before)
        assert link.machine.unwritten <= 2 * LIMITS.outbox_max
        assert len(link.outbox) == link.machine.unwritten or link.machine.state is ServerState.CLOSED
        if link.machine.state is ServerState.CLOSED and link in link.gateway.links:
            link.gateway.links.remove(link)

    def _server_does(self, link: Link, action: s.Action, before: ServerState) -> None:
        gateway = link.gateway
        match action:
            case s.Send(text):
                self._check_sent(link, text)
                link.outbox.append(text)
            case s.Close(why):
                self.note(f"link {link.number} closed by {gateway.name}: {why.code}")
                self.closings.append(why.code)
                assert why.code != 4400, self.explain("an honest client sent a broken frame")
                link.outbox.clear()
                link.down.append(why.code)
            case s.Authenticate(hello, _):
                self._later(gateway, link, "authenticates", lambda: self._authenticate(link, hello))
            case s.Reauthenticate(token):
                self._later(gateway, link, "renews", lambda: self._renew(link, token))
            case s.Admit(frame):
                assert link.session is not None, "nothing before hello"
                assert not link.draining, "no new work after draining"
                self._later(gateway, link, f"commits {frame.cid}", lambda: self._admit(link, frame))
            case s.CancelAnalysis(cid):
                self._later(gateway, link, f"cancels {cid}", lambda: self._cancel(link, cid))
            case s.StoreAck(seq):
                session = self.store.sessions[link.session or ""]
                session.acked = max(session.acked, min(seq, len(session.rows)))
            case s.Fetch(after, limit):
                self._later(gateway, link, f"fetches after {after}", lambda: self._fetch(link, after, limit))
            case s.Follow(topic):
                assert link.session is not None, "nothing before hello"
                link.following.add(topic)
                self._later(gateway, link, "follows", lambda: self._follow(link, topic))
            case s.Unfollow(topic):
                link.following.discard(topic)
            case s.Count() | s.Audit():
                pass

    def _check_sent(self, link: Link, text: str) -> None:
        frame = frames.decode_server(text)
        if isinstance(frame, frames.Accepted | frames.AcceptedBatch):
            first = frame.analysis_id if isinstance(frame, frames.Accepted) else frame.batch_id
            assert first in self.store.analyses, "accepted before it was on the log"
            self.accepted.add(first)
        elif isinstance(frame, frames.Draining):
            link.draining = True
        elif isinstance(frame, frames.Result | frames.Failed):
            owner = self.store.sessions[self.store.analyses[frame.analysis_id].session].subject
            assert owner == link.client.subject, "somebody else's result"

    def _later(self, gateway: Gateway, link: Link, what: str, do: Callable[[], None]) -> None:
        gateway.work.append((f"link {link.number} {what}", do))

    def do_work(self, gateway: Gateway, which: int = 0) -> None:
        """One piece of the gateway's work happens; not always the oldest."""
        if gateway.alive and gateway.work:
            place = which % min(len(gateway.work), 3)
            what, do = gateway.work[place]
            del gateway.work[place]
            self.note(f"{gateway.name}: {what}")
            do()

    def _authenticate(self, link: Link, hello: frames.Hello) -> None:
        subject = hello.token or ""
        if link.machine.state is not ServerState.AUTHENTICATING:
            return
        if subject in self.revoked:
            self.server_step(link, s.HelloRefused(closing.FORBIDDEN))
            return
        resume = hello.resume
        known = self.store.sessions.get(resume.session) if resume else None
        if known is not None and resume is not None and resume.token == f"{resume.session}:{known.subject}":
            if known.subject != subject:
                self.server_step(link, s.HelloRefused(closing.FORBIDDEN))
                return
            name, session = resume.session, known
        else:
            name, session, resume = f"s{len(self.store.sessions)}", Session(subject), None
            self.store.sessions[name] = session
        self._open_session(link, name, session, resume)

    def _open_session(self, link: Link, name: str, session: Session, resume: frames.Resume | None) -> None:
        older, session.holder, link.session = session.holder, link, name
        if older is not None and older.gateway is link.gateway and older is not link:
            self.server_step(older, s.TakenOver())
        last_seq = len(session.rows)
        resumed = (
            resume is not None
            and resume.epoch == self.store.epoch
            and session.window_from <= resume.last_seq <= last_seq
        )
        position = resume.last_seq if resumed and resume else last_seq
        self.server_step(
            link,
            s.SessionOpened(
                session=name,
                epoch=self.store.epoch,
                resumed=resumed,
                position=position,
                last_seq=last_seq,
                resume_token=f"{name}:{session.subject}",
                unfinished=self.store.unfinished(name),
                snapshot=() if resumed else self.store.states(name),
            ),
        )

    def _renew(self, link: Link, token: str) -> None:
        good = token not in self.revoked and token == link.client.subject
        event = s.CredentialRenewed(None) if good else s.CredentialRefused(closing.FORBIDDEN)
        self.server_step(link, event)

    def _admit(self, link: Link, frame: frames.Submit | frames.SubmitBatch) -> None:
        """The commit; the answer is a second piece of work, so that a crash may come between."""
        assert link.session is not None
        if frame.project != "p":
            reply: Any = frames.Rejected(cid=frame.cid, code="forbidden", message="not yours", retryable=False)
            unfinished = 0
        else:
            found = self.store.commit(link.session, frame)
            self._check_ids()
            if found is None:
                reply = frames.Rejected(cid=frame.cid, code="cid_conflict", message="another payload", retryable=False)
            elif isinstance(frame, frames.Submit):
                reply = frames.Accepted(cid=frame.cid, analysis_id=found[0], ref="raw/0/1", duplicate=found[1])
            else:
                count = len(frame.items)
                reply = frames.AcceptedBatch(
                    cid=frame.cid, batch_id=found[0], count=count, ref="raw/0/1", duplicate=found[1]
                )
            unfinished = self.store.unfinished(link.session).get(frame.cid, 0)
        answer = s.SubmitAnswered(reply, unfinished)
        self._later(link.gateway, link, f"answers {frame.cid}", lambda: self.server_step(link, answer))

    def _check_ids(self) -> None:
        """A cid has one analysis, whatever its payload was the second time."""
        cids = [(one.session, one.cid) for one in self.store.analyses.values()]
        assert len(set(cids)) == len(cids)

    def _cancel(self, link: Link, cid: str) -> None:
        known = self.store.submissions.get((link.session or "", cid))
        for analysis_id in known[1] if known else ():
            self.store.finals.append((analysis_id, "cancelled"))

    def _follow(self, link: Link, topic: str) -> None:
        self.server_step(link, s.FollowAnswered(topic))
        if self.live_ver:
            self._give_live(link)

    def _give_live(self, link: Link) -> None:
        frame = frames.Metrics(key="metrics", ver=self.live_ver, at="2026-11-21T10:00:00Z")
        self.server_step(link, s.Live("metrics", "metrics", self.live_ver, frames.encode(frame)))

    def _fetch(self, link: Link, after: int, limit: int) -> None:
        assert link.session is not None
        session = self.store.sessions[link.session]
        last = min(after + limit, len(session.rows))
        finals = tuple(self.store.final_frame(link.session, seq) for seq in range(after + 1, last + 1))
        self.server_step(link, s.Fetched(finals))

    def tail(self, gateway: Gateway) -> None:
        """The gateway reads the results, writes the index, and tells its connections."""
        if gateway.alive:
            self.store.project()
            for link in list(gateway.links):
                if link.session is not None:
                    self.server_step(link, s.Available(len(self.store.sessions[link.session].rows)))

    def gateway_tick(self, gateway: Gateway) -> None:
        if not gateway.alive:
            return
        for link in list(gateway.links):
            held = self.store.sessions[link.session].holder if link.session else link
            self.server_step(link, s.Tick() if held is link else s.TakenOver())

    def publish(self) -> None:
        """A new value of the platform's figures."""
        self.live_ver += 1
        for gateway in self.gateways:
            for link in list(gateway.links):
                if "metrics" in link.following:
                    self._give_live(link)

    def crash(self, gateway: Gateway) -> None:
        """kill -9: connections, outboxes and unfinished work are gone; another process takes the place."""
        self.note(f"{gateway.name} crashes")
        for link in gateway.links:
            if link.client.link is link:
                link.client.link = None
                client = link.client
                client.errands.append(
                    ("sees the crash", lambda client=client: self.client_step(client, c.Disconnected(1006)))
                )
        place = self.gateways.index(gateway)
        gateway.alive = False
        self.gateways[place] = Gateway(gateway.name)

    def drain(self, gateway: Gateway) -> None:
        if gateway.alive and not gateway.draining:
            self.note(f"{gateway.name} drains")
            gateway.draining = True
            for link in list(gateway.links):
                self.server_step(link, s.Drain(int(self.random.random() * 5_000)))

    def drain_deadline(self, gateway: Gateway) -> None:
        if gateway.draining:
            for link in list(gateway.links):
                self.server_step(link, s.DrainDeadline())
            assert not gateway.links, "a drained gateway keeps nobody"
            self.note(f"{gateway.name} exits")
            gateway.alive = False
            self.gateways[self.gateways.index(gateway)] = Gateway(gateway.name)

    # --- workers, operators, time -----------------------------------------------------------------------------------

    def finish(self, which: int, outcome: str = "success") -> None:
        """A worker appends a final event, perhaps for the second time."""
        ids = list(self.store.analyses)
        if ids:
            self.store.finals.append((ids[which % len(ids)], outcome))

    def new_epoch(self) -> None:
        """The numbering is made anew; no gateway survives that."""
        self.note("a new epoch")
        for gateway in list(self.gateways):
            self.crash(gateway)
        self.store.project()
        self.store.renumber(self.random)

    def window_passes(self) -> None:
        """Nothing that exists now can be replayed any more."""
        self.note("the window passes")
        for session in self.store.sessions.values():
            session.window_from = len(session.rows)

    def expire(self, client: Client) -> None:
        if client.link is not None and client.link.gateway.alive:
            self.server_step(client.link, s.CredentialRefused(closing.UNAUTHENTICATED))

    def revoke(self, subject: str) -> None:
        self.note(f"{subject} is revoked")
        self.revoked.add(subject)
        for gateway in self.gateways:
            for link in list(gateway.links):
                if link.client.subject == subject:
                    self.server_step(link, s.CredentialRefused(closing.FORBIDDEN))

    def take_back(self, client: Client) -> None:
        if client.stopped is closing.Reaction.TAKE_BACK:
            client.stopped = None
            self.client_step(client, c.TakeBack())

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_ms += int(seconds * 1000)
        self.note(f"+{seconds} s")
        for client in self.clients:
            self.client_tick(client)
        for gateway in self.gateways:
            self.gateway_tick(gateway)

    def jump_wall(self, seconds: int) -> None:
        self.wall_ms += seconds * 1000

    # --- the end ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """No more faults: everything that waits happens, until nothing is left to do."""
        for gateway in list(self.gateways):
            if gateway.draining:
                self.drain_deadline(gateway)
        for client in self.clients:
            client.reads = True
        for turn in range(400):
            self._everything_happens()
            for analysis_id, one in self.store.analyses.items():
                if one.final is None:
                    self.store.finals.append((analysis_id, "success"))
            for gateway in self.gateways:
                self.tail(gateway)
            self._everything_happens()
            if turn > 30 and all(self._is_done(client) for client in self.clients):
                return
            self.pass_time(1.0)
        raise AssertionError(self.explain("it does not come to rest"))

    def _everything_happens(self) -> None:
        for _ in range(10_000):
            before = len(self.trace)
            for gateway in self.gateways:
                self.do_work(gateway)
                for link in list(gateway.links):
                    self.write(link)
            for client in self.clients:
                self.errand(client)
                self.carry_up(client)
                self.carry_down(client)
                self.apply(client)
            busy = any(gateway.work or any(link.outbox for link in gateway.links) for gateway in self.gateways)
            busy = busy or any(client.hands or client.errands for client in self.clients)
            if not busy and len(self.trace) == before:
                return
        raise AssertionError(self.explain("it never becomes quiet"))

    def _is_done(self, client: Client) -> bool:
        return client.stopped is not None or not client.machine.waiting

    def check_end(self) -> None:
        """Exactly one visible answer per cid, for everybody who may still see one."""
        for client in self.clients:
            if client.stopped is not None:
                continue
            for cid in client.asked:
                assert cid in client.refused or self._is_answered(client, cid), self.explain(
                    f"{client.name} never saw {cid}"
                )
            if client.link is not None and client.link.following:
                assert client.versions.get("metrics", 0) == self.live_ver, self.explain("the last value is shown")
        for name in self.store.sessions:
            holders = [link for gateway in self.gateways for link in gateway.links if link.session == name]
            assert len(holders) <= 1, "one connection per session"

    def _is_answered(self, client: Client, cid: str) -> bool:
        frame = client.asked[cid]
        if isinstance(frame, frames.Submit):
            return cid in client.seen
        return all(f"{cid}#{i}" in client.seen for i in range(len(frame.items)))

    def note(self, line: str) -> None:
        self.trace.append(f"{self.now_s:.3f} {line}")

    def explain(self, what: str) -> str:
        return what + "\n" + "\n".join(self.trace[-80:])

    @staticmethod
    def short(text: str | int) -> str:
        return str(text)[:90]


def chaos(seed: int, moves: int) -> World:
    """A world that a seed drives, from the first client to the quiet end."""
    world = World(seed)
    draw = random.Random(seed + 1)
    world.new_client("ann")
    world.new_client("bob")
    for _ in range(moves):
        draw.choices(*_odds(world, draw))[0]()
    world.settle()
    world.check_end()
    return world


def _odds(world: World, draw: random.Random) -> tuple[list[Callable[[], None]], list[int]]:
    odds = list(_moves(world, draw))
    return [move for _, move in odds], [weight for weight, _ in odds]


def _moves(world: World, draw: random.Random) -> Iterator[tuple[int, Callable[[], None]]]:
    client, gateway, count = draw.choice(world.clients), draw.choice(world.gateways), draw.randrange(1, 6)
    # what goes well
    yield 50, lambda: world.ask(client)
    yield 20, lambda: world.ask(client, items=draw.randrange(1, 12))
    yield 120, lambda: _repeat(count, lambda: world.apply(client))
    yield 120, lambda: world.errand(client)
    yield 300, lambda: _repeat(count, lambda: world.carry_up(client))
    yield 300, lambda: _repeat(count, lambda: world.carry_down(client))
    yield 300, lambda: _repeat(count, lambda: [world.write(link) for link in list(gateway.links)])
    yield 400, lambda: _repeat(count, lambda: world.do_work(gateway, draw.randrange(3)))
    yield 100, lambda: world.tail(gateway)
    yield 120, lambda: world.finish(draw.randrange(1000), draw.choice(["success", "success", "failed"]))
    yield 30, world.publish
    yield 20, lambda: world.watch(client)
    yield 60, lambda: world.pass_time(draw.choice([0.1, 0.1, 0.1, 0.5, 0.5, 1.0, 3.0]))
    # what people do
    yield 10, lambda: world.ask(client, project="q")
    yield 30, lambda: world.ask_otherwise(client)
    yield 10, lambda: world.cancel(client)
    yield 10, lambda: world.reload(client)
    yield 5, lambda: world.second_tab(client) and None if len(world.clients) < 3 and client.kept else None
    yield 20, lambda: world.take_back(client)
    # what breaks
    yield 20, lambda: world.cut(client)
    yield 5, lambda: world.crash(gateway)
    yield 5, lambda: world.drain(gateway)
    yield 10, lambda: world.drain_deadline(gateway)
    yield 5, lambda: world.expire(client)
    yield 2, world.new_epoch
    yield 4, world.window_passes
    yield 1, lambda: world.revoke("bob") if draw.random() < 0.4 else None
    yield 10, lambda: setattr(client, "reads", draw.random() < 0.8)
    yield 5, lambda: world.jump_wall(draw.choice([-3600, 3600]))
    yield 3, lambda: world.pass_time(draw.choice([12.0, 50.0]))


def _repeat(count: int, move: Callable[[], object]) -> None:
    for _ in range(count):
        move()
