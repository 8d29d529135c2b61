"""The catalogue: every event type that stands on a topic, its schema by major version, and how old ones are read.

Producers call `validate` before they append, readers call `upcast` and then `validate`. A type enters here with the
issue that needs it; `docs/how-to/add-an-event-type.md` has the steps. Types never carry a version in their name: the
major stands in `dataschema`, as `urn:genescale:schema:<type>:<major>`. That name is a URI, as CloudEvents asks, but no
address: nobody has to own a host or keep a page alive for an event of ten years ago to say what it is. Whoever wants
the schema asks `genescale events schemas --type TYPE`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from genescale.errors import InvalidEvent
from genescale.events import analysis_data, loop_data
from genescale.events.envelope import JSON_TYPE, Event, ExtensionValue, is_json
from genescale.events.topics import DEAD_LETTERS, LANES, LOOP_STATE, RESULTS

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
DataT = TypeVar("DataT", bound=msgspec.Struct)

SCHEMA_PREFIX = "urn:genescale:schema:"

# The payload is ciphertext: it is checked by whoever opens it.
SEALED = "sealed"

_LANE_TOPICS = tuple(lane.topic for lane in LANES)
_ENCODER = msgspec.json.Encoder()


def schema_uri(type_name: str, major: int) -> str:
    """What stands in `dataschema`."""
    return f"{SCHEMA_PREFIX}{type_name}:{major}"


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """One major version of one event type."""

    name: str
    major: int
    summary: str
    data: type[msgspec.Struct]
    topics: tuple[str, ...]
    key: str  # what the record key is, in words
    example: msgspec.Struct
    stability: Literal["stable", "draft"] = "stable"
    rules: dict[str, Any] = {}  # JSON Schema keywords for what `check` checks
    check: Callable[[Any], None] | None = None
    upcast: Upcast | None = None  # pure: the data of this major in, the data of the next major out

    @property
    def dataschema(self) -> str:
        """The URI of this schema."""
        return schema_uri(self.name, self.major)


class Catalogue:
    """A set of event types. The product has one, `CATALOGUE`; tests make their own to try versions that never were."""

    def __init__(self, types: Iterable[EventType]) -> None:
        self._types: dict[str, dict[int, EventType]] = {}
        for entry in types:
            majors = self._types.setdefault(entry.name, {})
            if entry.major in majors:
                raise ValueError(f"{entry.name} v{entry.major} stands twice in the catalogue")
            majors[entry.major] = entry
        self._readers: dict[tuple[str, str | None], tuple[EventType, msgspec.json.Decoder[Any]]] = {}
        self._newest: set[tuple[str, str | None]] = set()
        for name, majors in self._types.items():
            _check_majors(name, majors)
            self._newest |= {(name, majors[len(majors)].dataschema)} | ({(name, None)} if len(majors) == 1 else set())
            for major, entry in majors.items():
                reader = (entry, msgspec.json.Decoder(entry.data))
                self._readers[name, entry.dataschema] = reader
                if major == 1:  # the first version is the only one that anybody could write without naming it
                    self._readers[name, None] = reader

    def __iter__(self) -> Iterator[EventType]:
        """Every major of every type, by name and major."""
        for name in sorted(self._types):
            for major in sorted(self._types[name]):
                yield self._types[name][major]

    def __contains__(self, type_name: str) -> bool:
        return type_name in self._types

    def latest(self, type_name: str) -> EventType:
        """The newest major of a type. Raises `InvalidEvent` when the type is unknown."""
        if type_name not in self._types:
            raise InvalidEvent(f"event type {type_name!r} is not in the catalogue; `genescale events schemas` lists it")
        majors = self._types[type_name]
        return majors[max(majors)]

    def entry(self, event: Event) -> EventType:
        """The type and major that an event says it has. Raises `InvalidEvent` for an unknown type or major."""
        return self._reader(event)[0]

    def validate(self, event: Event, *, topic: str | None = None, allow_unknown: bool = False) -> msgspec.Struct | None:
        """Check an event against its schema and return its data as the struct of its own major.

        None means that nobody here can look inside: the payload is sealed, or the type is unknown and `allow_unknown`
        lets it pass. Raises `InvalidEvent` that names the field, and never quotes what a person sent. With `topic`
        the type must also be one that may stand there.
        """
        if allow_unknown and event.type not in self._types:
            return None
        entry, decoder = self._reader(event)
        if topic is not None and topic not in entry.topics:
            raise InvalidEvent(
                f"event {event.id}: {entry.name} must not stand on {topic}, only on {_words(entry.topics)}"
            )
        return None if SEALED in event.extensions else _decode(event, entry, decoder)

    def read(self, event: Event, data: type[DataT]) -> DataT:
        """The data of an event that must be of one type, brought to that struct's major if it is older."""
        found = self.validate(self.upcast(event))
        if not isinstance(found, data):
            held = "sealed data" if found is None else type(found).__name__
            raise InvalidEvent(f"event {event.id}: {event.type} holds {held}, not {data.__name__}")
        return found

    def upcast(self, event: Event) -> Event:
        """The same event in the newest major of its type; unknown types and sealed payloads come back as they are."""
        if (event.type, event.dataschema) in self._newest:  # nearly always, and on the hot path
            return event
        if event.type not in self._types or SEALED in event.extensions:
            return event
        entry = self.entry(event)
        majors = self._types[event.type]
        newest = len(majors)
        self.validate(event)
        data = event.data_object()
        while entry.major < newest:
            assert entry.upcast is not None, "checked when the catalogue was made"
            data = entry.upcast(data)
            entry = majors[entry.major + 1]
        return msgspec.structs.replace(event, dataschema=entry.dataschema, data=_ENCODER.encode(data))

    def _reader(self, event: Event) -> tuple[EventType, msgspec.json.Decoder[Any]]:
        found = self._readers.get((event.type, event.dataschema))
        if found is not None:
            return found
        self.latest(event.type)  # raises when the type itself is unknown
        known = ", ".join(repr(schema_uri(event.type, major)) for major in sorted(self._types[event.type]))
        raise InvalidEvent(
            f"event {event.id}: dataschema {event.dataschema!r} is no known version of {event.type}; this program "
            f"knows {known}. If the event comes from a newer Genescale, upgrade this one first"
        )


def new_event(
    data: msgspec.Struct,
    *,
    id: str,  # noqa: A002 - the name that CloudEvents gives it
    source: str,
    time: str,
    subject: str | None = None,
    extensions: dict[str, ExtensionValue] | None = None,
) -> Event:
    """An event of the type whose newest data struct this is."""
    entry = _BY_DATA[type(data)]
    return Event(
        id=id,
        source=source,
        type=entry.name,
        subject=subject,
        time=time,
        datacontenttype=JSON_TYPE,
        dataschema=entry.dataschema,
        extensions=extensions or {},
        data=_ENCODER.encode(data),
    )


def _check_majors(name: str, majors: dict[int, EventType]) -> None:
    if sorted(majors) != list(range(1, len(majors) + 1)):
        raise ValueError(f"{name}: majors must be 1, 2, 3, ... without a gap, not {sorted(majors)}")
    for major, entry in majors.items():
        if (entry.upcast is None) != (major == len(majors)):
            raise ValueError(f"{name} v{major}: every major but the newest needs an upcast, and the newest has none")


def _decode(event: Event, entry: EventType, decoder: msgspec.json.Decoder[Any]) -> msgspec.Struct:
    if event.data is None:
        raise InvalidEvent(f"event {event.id}: {entry.name} needs data")
    if event.datacontenttype != JSON_TYPE and not is_json(event.datacontenttype):
        raise InvalidEvent(f"event {event.id}: data of {entry.name} is JSON, not {event.datacontenttype!r}")
    try:
        data = decoder.decode(event.data)
        if entry.check is not None:
            entry.check(data)
    except InvalidEvent as error:
        raise InvalidEvent(f"event {event.id}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"event {event.id}: {_explain(error)}") from None
    return data


def _explain(error: Exception) -> str:
    """`Expected int, got str - at $.measured.attempt` becomes `data.measured.attempt: expected int, got str`."""
    if isinstance(error, RecursionError):
        return "data: nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return f"data is not JSON: {error}"
    message, _, path = str(error).partition(" - at `")
    if message.startswith("Invalid enum value"):
        message = "not one of the allowed values"  # the original quotes what was sent
    return f"data{path.removesuffix('`').removeprefix('$')}: {message[:1].lower()}{message[1:]}"


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(names)


_FAILURE = loop_data.Failure(
    error="Crashed",
    message="the process died 3 times while it handled this record",
    stack=["genescale.worker.analyse:41 analyse"],
    stack_hash="8d1f0c5a2b7e4936",
)
_RECORD = loop_data.RecordCopy(
    topic="genetic-data-raw",
    partition=7,
    offset=1042,
    timestamp_ms=1_795_255_200_000,
    key=b"8f8a0a5e-4a0e-5f3c-9b1a-2f6f3b0d9c11",
    value=b'{"sequence":"ACGT"}',
    headers=[
        loop_data.Header("ce_id", b"0b0f4f0e-3f5b-5a8e-8c1d-6a1f7c2e9d10"),
        loop_data.Header("ce_specversion", b"1.0"),
    ],
)

CATALOGUE = Catalogue(
    (
        EventType(
            name="genetic.analysis.request",
            major=1,
            summary="Somebody asks for one analysis.",
            data=analysis_data.AnalysisRequest,
            topics=_LANE_TOPICS,
            key="analysis id",
            example=analysis_data.AnalysisRequest(sequence="ATCGATCGATCG", assembly="GRCh38"),
            rules=analysis_data.REQUEST_RULES,
            check=analysis_data.check_request,
        ),
        EventType(
            name="genetic.analysis.result",
            major=1,
            summary="The one answer to a request and revision: success, part of it, failure or cancellation.",
            data=analysis_data.AnalysisResult,
            topics=(RESULTS,),
            key="analysis id",
            example=analysis_data.AnalysisResult(
                status="partial",
                annotations=[{"variant": "NC_012920.1:m.3243A>G", "gene": "MT-TL1"}],
                predictions={"pathogenicity": {"score": 0.97}},
                errors=[
                    analysis_data.AnalysisError(
                        code="OUTSIDE_REFERENCE",
                        message="1 of 2 variants lies outside the regions of the reference",
                    )
                ],
                versions={"pipeline": "0.1.0", "bundle": "sha256:77ab", "models": "none"},
                measured=analysis_data.Measured(cpu_s=0.0042, processing_ms=5.1, attempt=1),
            ),
            rules=analysis_data.RESULT_RULES,
            check=analysis_data.check_result,
        ),
        EventType(
            name="genescale.events.batch.started",
            major=1,
            summary="A batch is about to be handled; what is still open at the next start was a crash.",
            data=loop_data.BatchStarted,
            topics=(LOOP_STATE,),
            key="group, topic and partition",
            example=loop_data.BatchStarted(
                group="vep-service-group", topic="genetic-data-raw", partition=7, start=1000, upto=1100, crashes=1
            ),
        ),
        EventType(
            name="genescale.events.record.parked",
            major=1,
            summary="A record waits for its next try outside its partition.",
            data=loop_data.RecordParked,
            topics=(LOOP_STATE,),
            key="group, topic, partition and offset",
            example=loop_data.RecordParked(
                group="vep-service-group",
                record=_RECORD,
                attempt=2,
                due_ms=1_795_255_203_500,
                since_ms=1_795_255_200_400,
                first_failure=_FAILURE,
            ),
        ),
        EventType(
            name="genescale.events.lane.resumed",
            major=1,
            summary="A drained worker wakes the next one, which finds the parked records.",
            data=loop_data.LaneResumed,
            topics=_LANE_TOPICS,
            key="group, topic and partition",
            example=loop_data.LaneResumed(
                group="vep-service-group", topic="genetic-data-raw", partition=7, parked=3, due_ms=1_795_255_203_500
            ),
        ),
        EventType(
            name="genescale.events.record.deadlettered",
            major=1,
            summary="A record that could not be processed: its bytes, why, and who tried.",
            data=loop_data.RecordDeadlettered,
            topics=(DEAD_LETTERS,),
            key="key of the original record, else the id of the dead letter",
            example=loop_data.RecordDeadlettered(
                record=_RECORD,
                failure=_FAILURE,
                attempts=3,
                group="vep-service-group",
                consumer_version="0.1.0",
                versions={"pipeline": "0.1.0"},
                first_failure=_FAILURE,
                first_failed_ms=1_795_255_200_400,
            ),
        ),
        EventType(
            name="genescale.events.deadletter.settled",
            major=1,
            summary="What a person did with a dead letter.",
            data=loop_data.DeadletterSettled,
            topics=(DEAD_LETTERS,),
            key="key of the dead letter",
            example=loop_data.DeadletterSettled(
                letter="5e0d8c3a-9a43-5c7e-8f27-1d0c5a7b3e62",
                outcome="retried",
                reason="the reference bundle is repaired",
                actor="operator",
                redrive="d4b9c1f0-2a6e-5b8d-9c3f-7e1a0b5d4c28",
                revision=2,
            ),
        ),
    )
)
_BY_DATA = {entry.data: entry for entry in CATALOGUE}
