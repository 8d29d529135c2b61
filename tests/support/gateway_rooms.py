"""A gateway without its sockets: log, tables, keys and one or more of everything behind the doors."""

from contextlib import ExitStack

from msgspec.structs import replace

from genescale.clock import ManualClock, rfc3339
from genescale.events.analysis_data import AnalysisError, AnalysisResult
from genescale.events.catalogue import new_event
from genescale.events.envelope import from_record, to_record, with_extensions
from genescale.events.log import append_now
from genescale.events.memory import MemoryLog
from genescale.events.scan import scan
from genescale.events.topics import RESULTS, TOPICS
from genescale.gateway.admission import Admission, Admitted, Submission
from genescale.gateway.delivery import Delivery
from genescale.gateway.results import Results
from genescale.gateway.sessions import SessionIndex
from genescale.gateway.submitting import Submitting, single
from genescale.gateway.tables import GATEWAY_TABLES
from genescale.security.keys import FileKeys
from genescale.security.principal import CLINICAL_CARE, Principal
from genescale.security.sealing import ProjectSealer, bound_to
from genescale.store.sqlite import open_sqlite_tables

ANALYST = Principal(subject="ana", roles={"p1": frozenset({"analyst"})}, default_project="p1")
CLINICIAN = Principal(
    subject="cli", roles={"p1": frozenset({"clinician"})}, default_project="p1", purposes=frozenset({CLINICAL_CARE})
)
STRANGER = Principal(subject="eve", roles={"p2": frozenset({"project-admin"})}, default_project="p2")
VIEWER = Principal(subject="vic", roles={"p1": frozenset({"viewer"})}, default_project="p1")


class Side:
    """One gateway."""

    def __init__(self, rooms, name, **options):
        self.name = name
        self.told = {}
        self.submitting = Submitting(rooms.log, rooms.tables, rooms.clock)
        self.index = SessionIndex(rooms.tables, rooms.clock, **options)
        self.held = set()
        self.delivery = Delivery(
            rooms.log,
            rooms.tables,
            self.index,
            rooms.clock,
            sealer=rooms.sealer,
            held=lambda: self.held,
            on_frames=self.told.update,
        )
        self.results = Results(rooms.log, rooms.tables, self.delivery, rooms.clock)

    def deliver(self):
        while self.delivery.step():
            pass


class Rooms:
    """What all gateways share."""

    def __init__(self, folder):
        self.stack = ExitStack()
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.log.create_topics(TOPICS)
        self.tables = open_sqlite_tables(folder / "tables.sqlite", GATEWAY_TABLES, self.clock)
        self.stack.callback(self.tables.close)
        self.sealer = ProjectSealer(FileKeys(folder / "keys", self.clock))
        self.admission = Admission(self.clock, self.sealer)

    def side(self, name="g1", **options):
        side = Side(self, name, **options)
        self.stack.callback(side.delivery.close)
        return side

    def admitted(self, cid="c1", session="", data=b'{"variants":["rs1"]}', who=ANALYST, **more):
        item = self.admission.admit(who, Submission(cid=cid, session=session, project="p1", data=data, **more))
        assert isinstance(item, Admitted), item
        return item

    def submit(self, side, cid="c1", session="", **more):
        return side.submitting.submit([single(self.admitted(cid, session, **more))])[0]

    def on_topic(self, topic):
        return [from_record(record) for record in scan(self.log, [topic])]

    def answer(self, analysis_id, *, status="success", revision=1, identity="r", sealed=True, session="", **data):
        """What a worker appends."""
        if status in ("failed", "partial"):
            data["errors"] = [AnalysisError(code="BAD", message="it cannot be read")]
        event = new_event(
            AnalysisResult(status=status, **data),
            id=f"{identity}-{analysis_id}-{revision}",
            source="/genescale/worker",
            time=rfc3339(self.clock.wall_ms()),
            subject=analysis_id,
            extensions={"partitionkey": analysis_id, "projectid": "p1", "revision": revision, "sessionid": session},
        )
        if sealed:
            closed = self.sealer.seal("p1", event.data, bound_to(event.id, event.type, "p1"))
            event = with_extensions(replace(event, data=closed.data), {"sealed": closed.key_id})
        return append_now(self.log, [to_record(event, RESULTS)])[0]

    def close(self):
        self.stack.close()
