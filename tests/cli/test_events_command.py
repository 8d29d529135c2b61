"""`genescale events ...` on a real SQLite log: answers, exit statuses, and not one base on the screen."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genescale import config, wiring
from genescale.cli.main import main
from genescale.clock import SystemClock
from genescale.events import envelope
from genescale.events.analysis_data import AnalysisRequest
from genescale.events.catalogue import new_event
from genescale.events.deadletter import letter_record
from genescale.events.envelope import from_json
from genescale.events.log import EventLog, NewRecord, Position, TopicPartition, TopicSpec, append_now
from genescale.events.loop_data import Failure
from genescale.events.scan import scan
from genescale.events.topics import DEAD_LETTERS

SEQUENCE = "GATTACAGATTACA"
LANE = "genetic-data-raw"


class Terminal:
    """A data directory, and what the commands print about it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capsys = directory, capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        place = () if words[0] in {"schemas", "salvage"} else ("--data", str(self.directory))
        assert main(["events", *words, *place]) == status, self._capsys.readouterr()
        captured = self._capsys.readouterr()
        self.errors = captured.err
        return captured.out

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))

    def log(self) -> "closing[EventLog]":
        loaded = config.load({}, None, {"data.directory": self.directory})
        return closing(wiring.open_log(loaded.settings, SystemClock()))


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = Terminal(tmp_path / "data", capsys)
    with place.log() as log:
        log.create_topics([TopicSpec(name=name, partitions=2) for name in (LANE, DEAD_LETTERS)])
        for index in range(3):
            event = new_event(
                AnalysisRequest(sequence=SEQUENCE, species="mus_musculus"),
                id=f"event-{index}",
                source="/genescale/gateway",
                time="2026-11-21T10:00:00Z",
                subject=f"a{index}",
            )
            append_now(log, [envelope.to_record(event, LANE, partition=0)])
    return place


def _bury(place: Terminal, offset: int = 1) -> str:
    """Make the record at this offset a dead letter; its id."""
    with place.log() as log:
        record = next(r for r in scan(log, [LANE]) if r.position == Position(LANE, 0, offset))
        failure = Failure(error="Permanent", message="no such reference", stack_hash="ab12")
        letter = letter_record(
            record, failure, attempts=3, group="vep-service-group", consumer_version="0.1.0", wall_ms=1
        )
        append_now(log, [letter])
    return dict(letter.headers)["ce_id"].decode()


def test_tail_prints_one_line_per_event_and_no_sequence(terminal: Terminal) -> None:
    out = terminal("tail", LANE, "-n", "2")
    lines = out.splitlines()
    assert [f"{LANE}/0/1" in lines[0], f"{LANE}/0/2" in lines[1], len(lines)] == [True, True, 2]
    assert "genetic.analysis.request  event-2  sequence=<14 long, " in lines[1]
    assert "species=mus_musculus" in lines[1]
    assert SEQUENCE not in out


def test_tail_as_json_gives_envelopes_and_reveals_only_when_asked(terminal: Terminal) -> None:
    hidden = [json.loads(line) for line in terminal("tail", "--json").splitlines()]
    assert [item["position"] for item in hidden] == [f"{LANE}/0/{n}" for n in range(3)]
    assert hidden[0]["event"]["data"]["sequence"]["length"] == 14
    assert hidden[0]["event"]["data"]["species"] == "mus_musculus"
    assert SEQUENCE not in json.dumps(hidden)
    whole = json.loads(terminal("tail", "--json", "--reveal", "-n", "1"))
    assert from_json(json.dumps(whole["event"]).encode()).data_object()["sequence"] == SEQUENCE


def test_tail_of_one_type_and_of_what_is_no_event(terminal: Terminal) -> None:
    with terminal.log() as log:
        append_now(log, [NewRecord(LANE, b"k", SEQUENCE.encode()), NewRecord(LANE, b"k", None)])
    out = terminal("tail")
    assert "UNREADABLE" in out
    assert "(tombstone)" in out
    assert SEQUENCE not in out
    assert len(terminal("tail", "--type", "genetic.analysis.request", "-n", "2").splitlines()) == 2
    assert terminal("tail", "--type", "genetic.analysis.result") == ""


def test_an_unknown_type_shows_nothing_of_its_payload(terminal: Terminal) -> None:
    stranger = envelope.Event(id="x", source="/x", type="com.example", data=json.dumps({"dna": SEQUENCE}).encode())
    with terminal.log() as log:
        append_now(log, [envelope.to_record(stranger, LANE)])
    assert SEQUENCE not in terminal("tail", "-n", "1")
    assert set(terminal.json("show", "x")["event"]["data"]) == {"sensitive", "length", "digest"}


def test_show_finds_by_position_and_by_id(terminal: Terminal) -> None:
    assert terminal.json("show", f"{LANE}/0/1")["event"]["id"] == "event-1"
    assert terminal.json("show", "event-2")["position"] == f"{LANE}/0/2"
    assert SEQUENCE in terminal("show", "event-2", "--reveal")
    assert terminal("show", "event-9", status=1) == ""
    assert "no event 'event-9'" in terminal.errors
    assert terminal("show", f"{LANE}/0/77", status=1) == ""
    terminal("show", f"{LANE}/9/0", status=1)
    assert "has 2 partitions, and no 9" in terminal.errors
    terminal("show", "nowhere/0/0", status=1)
    assert "no topic 'nowhere'; there are: genetic-data-raw" in terminal.errors
    terminal("show", f"{LANE}/x/0", status=1)
    assert "write topic/partition/offset" in terminal.errors


def test_topics_and_lag(terminal: Terminal) -> None:
    rows = {row["topic"]: row for row in terminal.json("topics")}
    assert (rows[LANE]["partitions"], rows[LANE]["records"], rows[LANE]["offsets"]["0"]) == (2, 3, [0, 3])
    assert LANE in terminal("topics")
    assert terminal("lag") == "no group has read anything yet\n"
    with terminal.log() as log:
        log.set_positions("g", {TopicPartition(LANE, 0): 1, TopicPartition(LANE, 1): 0})
    (row,) = terminal.json("lag")
    assert (row["group"], row["lag"], row["members"]) == ("g", 2, [])
    assert "position          1  end          3  lag          2" in terminal("lag", "g")
    terminal("lag", "other", status=1)
    assert "no group 'other'; there are: g" in terminal.errors


@pytest.mark.parametrize(
    ("words", "records"),
    [
        ((LANE, "--from-start"), 3),
        ((LANE, "--from-event", "event-1"), 2),
        (("--from-offset", f"{LANE}/0/2"), 1),
        ((LANE, "--from-time", "1999-01-01T00:00:00Z"), 3),
        ((LANE, "--from-time", "2999-01-01T00:00:00+01:00"), 0),
    ],
)
def test_replay_places_a_group(terminal: Terminal, words: tuple[str, ...], records: int) -> None:
    placed = terminal.json("replay", *words, "--group", "june")
    assert (placed["group"], placed["records"]) == ("replay-june", records)
    (row,) = terminal.json("lag", "replay-june")
    assert row["lag"] == records


def test_replay_with_effects_has_another_name(terminal: Terminal) -> None:
    assert "wait for the group redeliver-june, with side effects" in terminal(
        "replay", LANE, "--from-start", "--group", "june", "--deliver"
    )


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((LANE,), 2, "say where to begin"),
        ((LANE, "--from-start", "--from-event", "x"), 2, "say where to begin"),
        (("--from-start",), 2, "name the topics to replay"),
        ((LANE, "--from-offset", "5"), 2, "names one partition"),
        (("other", "--from-offset", f"{LANE}/0/1"), 2, "names one partition"),
        ((LANE, "--from-time", "yesterday"), 1, "not RFC 3339"),
        ((LANE, "--from-time", "2026-01-01T00:00:00"), 1, "has no zone"),
        ((LANE, "--from-event", "event-9"), 1, "no event 'event-9'"),
        (("nowhere", "--from-start"), 1, "no topic 'nowhere'"),
    ],
)
def test_replay_says_what_is_wrong(terminal: Terminal, words: tuple[str, ...], status: int, says: str) -> None:
    terminal("replay", *words, "--group", "june", status=status)
    assert says in terminal.errors


def test_dead_letters_from_list_to_retry(terminal: Terminal) -> None:
    letter = _bury(terminal)
    out = terminal("dlq", "list")
    assert f"{letter[:13]}  open " in out
    assert "Permanent: no such reference" in out
    assert "1 open, 0 settled" in terminal.errors
    (row,) = terminal.json("dlq", "list")
    assert (row["id"], row["record"], row["attempts"], row["state"]) == (letter, f"{LANE}/0/1", 3, "open")
    shown = terminal("dlq", "show", letter[:8])
    assert SEQUENCE not in shown
    assert SEQUENCE in terminal("dlq", "show", letter, "--reveal")

    assert f"{letter}  retried as " in terminal("dlq", "retry", letter[:8], "--reason", "mended")
    again = terminal.json("dlq", "retry", letter)
    assert [item["state"] for item in again] == ["retried"]
    assert len(terminal("tail", LANE).splitlines()) == 4
    redriven = terminal.json("show", again[0]["redrive"])["event"]
    assert (redriven["revision"], redriven["redriveof"]) == (2, letter)
    assert terminal("dlq", "list") == ""
    (settled,) = terminal.json("dlq", "list", "--all")
    assert (settled["state"], settled["reason"], settled["revision"]) == ("retried", "mended", 2)
    assert settled["actor"]


def test_dead_letters_are_discarded_with_a_reason(terminal: Terminal) -> None:
    letter = _bury(terminal)
    terminal("dlq", "discard", letter, status=2)
    terminal("dlq", "discard", letter, "--reason", " ", status=1)
    assert "with a reason" in terminal.errors
    terminal("dlq", "discard", "--reason", "x", status=2)
    assert "discarded" in terminal("dlq", "discard", letter, "--reason", "a test input")
    (failed,) = terminal.json("dlq", "retry", letter, status=1)
    assert "was discarded by" in failed["failed"]
    assert len(terminal("tail", LANE).splitlines()) == 3


def test_retry_of_all_goes_on_after_one_that_cannot_be_sent(terminal: Terminal) -> None:
    with terminal.log() as log:
        append_now(log, [NewRecord(LANE, b"k", b"junk", partition=0)])
    bad, good = _bury(terminal, 3), _bury(terminal, 0)
    rows = {row["id"]: row for row in terminal.json("dlq", "retry", "--all", status=1)}
    assert (rows[good]["state"], rows[bad]["state"]) == ("retried", "open")
    assert "ce_specversion is missing" in rows[bad]["failed"]
    terminal("dlq", "retry", status=2)
    terminal("dlq", "retry", "nothing-like-it", status=1)
    terminal("dlq", "retry", good, bad, "--revision", "3", status=2)


def test_schemas_are_printed_and_checked(terminal: Terminal, tmp_path: Path) -> None:
    assert "genetic.analysis.request" in terminal("schemas")
    assert {row["major"] for row in terminal.json("schemas")} == {1}
    schema = terminal.json("schemas", "--type", "genetic.analysis.result")
    assert schema["$id"] == "urn:genescale:schema:genetic.analysis.result:1"
    assert json.loads(terminal("schemas", "--asyncapi"))["asyncapi"] == "3.0.0"
    terminal("schemas", "--type", "nobody", status=1)
    terminal("schemas", "--type", "genetic.analysis.result", "--major", "9", status=1)
    assert "has no major version 9; the newest is 1" in terminal.errors
    terminal("schemas", "--check", "--root", str(tmp_path), status=2)
    assert "run this in a checkout" in terminal.errors
    root = str(Path(__file__).parents[2])
    assert "0 problems" in terminal("schemas", "--check", "--root", root)


def test_an_empty_directory_has_empty_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Terminal(tmp_path / "empty", capsys)
    assert empty.json("topics") == []
    assert empty.json("lag") == []
    assert empty("tail") == ""
    assert empty.json("dlq", "list") == []
    empty("show", "x", status=1)
    empty("tail", "x", status=1)
    assert "no topic 'x'; there are: none yet" in empty.errors


def test_a_damaged_log_is_salvaged(terminal: Terminal, tmp_path: Path) -> None:
    with terminal.log() as log:
        log.create_topics([TopicSpec(name="one", partitions=1)])
        for number in range(20):
            append_now(log, [NewRecord("one", b"k", b"content %02d" % number + bytes(500))])
    path = terminal.directory / "log" / "topics" / "one.db"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"content 07", b"content 77"))
    terminal("tail", "one", status=1)
    assert "genescale events salvage" in terminal.errors
    words = ("salvage", "--from", str(path.parents[1]), "--to")
    assert "lost one/0/7 to 7" in terminal(*words, str(tmp_path / "new"), status=1)
    topics = terminal.json(*words, str(tmp_path / "other"), status=1)["topics"]
    report = next(topic for topic in topics if topic["topic"] == "one")
    assert (report["saved"], report["lost"], report["partitions"][0]["lost"]) == (19, 1, [[7, 7]])
    terminal(*words, str(tmp_path / "other"), status=2)
    assert "is not empty" in terminal.errors
