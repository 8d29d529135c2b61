import errno
import hashlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.security.audit import (
    FIRST,
    AuditDamaged,
    AuditEntry,
    AuditFailed,
    AuditHead,
    AuditLog,
    Pseudonyms,
    day_files,
    records,
    verify,
)
from genescale.security.policy import POLICY

ENTRY = AuditEntry(
    actor="0123abcd" * 4,
    action="submit",
    resource="0b7c1f0e-9f57-5d2b-8a58-1f2f6f0c9d11",
    project="p1",
    policy=POLICY,
    reason="no role in this project",
    result="done",
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> AuditLog:
    return AuditLog(tmp_path / "audit", clock, reserve_bytes=0)


def three_days(folder: Path, clock: ManualClock, each: int = 4) -> AuditHead:
    log = AuditLog(folder, clock, reserve_bytes=0)
    for _ in range(3):
        log.record_all([ENTRY] * (each - 1))
        head = log.record(msgspec.structs.replace(ENTRY, action="read", decision="refused"))
        clock.advance(86_400)
    return head


def test_records_stand_in_the_log_in_order(log: AuditLog, tmp_path: Path):
    head = log.record(ENTRY)
    assert head.seq == 1
    head = log.record_all([ENTRY, ENTRY])
    [first, second, third] = records(tmp_path / "audit")
    assert (first.seq, second.seq, third.seq) == (1, 2, 3)
    assert first.prev_hash == FIRST
    assert third.prev_hash == second.hash
    assert head == AuditHead(3, third.hash) == log.head() == verify(tmp_path / "audit", head)
    assert (first.action, first.policy, first.result, first.decision) == ("submit", POLICY, "done", "allowed")


def test_lines_are_canonical_json(log: AuditLog, tmp_path: Path):
    log.record(ENTRY)
    [path] = day_files(tmp_path / "audit")
    line = path.read_bytes()
    assert line.endswith(b"}\n")
    names = [part.split(b'"')[1] for part in line.strip(b"{}\n").split(b',"') if part.startswith(b'"')] or [b""]
    assert names == sorted(names)
    assert b'": ' not in line
    assert path.stat().st_mode & 0o077 == 0


def test_the_chain_goes_over_days_and_a_new_start(tmp_path: Path, clock: ManualClock):
    head = three_days(tmp_path, clock)
    assert len(list(day_files(tmp_path))) == 3
    assert verify(tmp_path, head).seq == 12
    clock.jump_wall(-10 * 86_400)  # a clock that goes back opens no earlier file
    after = AuditLog(tmp_path, clock, reserve_bytes=0).record(ENTRY)
    assert after.seq == 13
    assert len(list(day_files(tmp_path))) == 3
    assert verify(tmp_path, head) == after


def test_an_empty_log_is_sound(tmp_path: Path):
    assert verify(tmp_path) == AuditHead(0, FIRST) == verify(tmp_path / "nothing here", AuditHead(0, FIRST))


# Tampering


def lines_of(folder: Path) -> tuple[Path, list[bytes]]:
    path = sorted(day_files(folder))[1]
    return path, path.read_bytes().splitlines(keepends=True)


TAMPERING: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edit": lambda lines: [lines[0].replace(b"submit", b"cancel"), *lines[1:]],
    "edit the time": lambda lines: [lines[0].replace(b'"at":"20', b'"at":"19'), *lines[1:]],
    "turn a refusal": lambda lines: [*lines[:3], lines[3].replace(b"refused", b"allowed")],
    "drop the first": lambda lines: lines[1:],
    "drop one": lambda lines: [lines[0], *lines[2:]],
    "drop the last of a day": lambda lines: lines[:-1],
    "drop the day": lambda _: [],
    "swap": lambda lines: [lines[1], lines[0], *lines[2:]],
    "twice": lambda lines: [lines[0], *lines],
    "insert": lambda lines: [lines[0], lines[0].replace(b'"seq":5', b'"seq":6'), *lines[1:]],
    "a blank line": lambda lines: [lines[0], b"\n", *lines[1:]],
    "a space": lambda lines: [lines[0].replace(b",", b", ", 1), *lines[1:]],
    "a field more": lambda lines: [lines[0].replace(b"{", b'{"a":1,', 1), *lines[1:]],
    "a name twice": lambda lines: [lines[0].replace(b"{", b'{"action":"submit",', 1), *lines[1:]],
    "another end of line": lambda lines: [lines[0].replace(b"\n", b"\r\n"), *lines[1:]],
    "half a line": lambda lines: [*lines[:-1], lines[-1][:40]],
    "no record": lambda lines: [b"[]\n", *lines],
}


@pytest.mark.parametrize("what", sorted(TAMPERING))
def test_tampering_is_found(what: str, tmp_path: Path, clock: ManualClock):
    three_days(tmp_path, clock)
    path, lines = lines_of(tmp_path)
    path.write_bytes(b"".join(TAMPERING[what](lines)))
    with pytest.raises(AuditDamaged) as caught:
        verify(tmp_path)
    assert caught.value.line >= 1
    assert ".jsonl, line" in str(caught.value)


def forged(line: bytes, **changes: object) -> bytes:
    """A record that somebody wrote anew, with a hash of its own that is right."""
    body = {**msgspec.json.decode(line), **changes}
    body.pop("hash")
    body["hash"] = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()
    return msgspec.json.encode(body, order="sorted") + b"\n"


@pytest.mark.parametrize("changes", [{"prev_hash": "0" * 64}, {"seq": 9}, {"seq": 5}, {"seq": True}, {"more": "x"}])
def test_a_record_written_anew_must_still_fit_its_place(tmp_path: Path, clock: ManualClock, changes: dict[str, object]):
    three_days(tmp_path, clock)
    path = max(day_files(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], forged(lines[-1], **changes)]))
    with pytest.raises(AuditDamaged):
        verify(tmp_path)


def test_any_byte_that_changes_is_found(tmp_path: Path, clock: ManualClock):
    three_days(tmp_path, clock, each=1)
    path, lines = lines_of(tmp_path)
    content = b"".join(lines)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(AuditDamaged):
            verify(tmp_path)


def test_a_cut_tail_is_found_with_a_head_kept_elsewhere(tmp_path: Path, clock: ManualClock):
    head = three_days(tmp_path, clock)
    last = max(day_files(tmp_path))
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify(tmp_path).seq == 11  # nothing in the log itself tells
    with pytest.raises(AuditDamaged, match="cut or written anew"):
        verify(tmp_path, head)


def test_a_log_written_anew_is_found_with_a_head_kept_elsewhere(tmp_path: Path, clock: ManualClock):
    head = three_days(tmp_path, clock)
    for path in day_files(tmp_path):
        path.unlink()
    clock.jump_wall(-3 * 86_400)
    other = AuditLog(tmp_path, clock, reserve_bytes=0)
    other.record_all([msgspec.structs.replace(ENTRY, action="list")] * 20)
    verify(tmp_path)
    with pytest.raises(AuditDamaged):
        verify(tmp_path, head)


@settings(max_examples=15)
@given(st.data())
def test_no_rearrangement_of_whole_lines_is_sound(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.mktemp("audit")
    head = three_days(folder, ManualClock(), each=3)
    path = sorted(day_files(folder))[1]
    lines = path.read_bytes().splitlines(keepends=True)
    other = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=6))
    path.write_bytes(b"".join(lines[i] for i in other))
    if other == list(range(len(lines))):
        assert verify(folder, head) == head
    else:
        with pytest.raises(AuditDamaged):
            verify(folder, head)


# Failing closed


def test_half_a_line_from_a_power_cut_is_taken_away(tmp_path: Path, clock: ManualClock):
    three_days(tmp_path, clock)
    last = max(day_files(tmp_path))
    whole = last.read_bytes()
    for cut in (1, 100, len(whole.splitlines(keepends=True)[-1]) - 1):
        last.write_bytes(whole + whole.splitlines(keepends=True)[-1][:cut])
        assert AuditLog(tmp_path, clock, reserve_bytes=0).head().seq == 12
    assert last.read_bytes() == whole
    new = tmp_path / "2099-01-01.jsonl"
    new.write_bytes(b'{"acti')  # the first line of a new day was cut
    assert AuditLog(tmp_path, clock, reserve_bytes=0).record(ENTRY).seq == 13
    assert verify(tmp_path).seq == 13


def test_a_damaged_last_line_stops_writing(tmp_path: Path, clock: ManualClock):
    three_days(tmp_path, clock)
    last = max(day_files(tmp_path))
    last.write_bytes(last.read_bytes() + b"{}\n")
    with pytest.raises(AuditDamaged):
        AuditLog(tmp_path, clock, reserve_bytes=0).record(ENTRY)


def test_what_cannot_be_written_fails_and_leaves_nothing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    log = AuditLog(tmp_path, clock, reserve_bytes=0)
    log.record(ENTRY)
    before = max(day_files(tmp_path)).read_bytes()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 100:
            return write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AuditFailed, match="No space"):
        log.record(ENTRY)
    clock.advance(86_400)
    with pytest.raises(AuditFailed):
        log.record(ENTRY)  # the first of a new day leaves an empty file
    monkeypatch.undo()
    assert min(day_files(tmp_path)).read_bytes() == before
    assert log.record(ENTRY).seq == 2
    assert verify(tmp_path).seq == 2


def test_an_fsync_that_fails_fails_the_record(log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log.record(ENTRY)

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(AuditFailed):
        log.record(ENTRY)
    monkeypatch.undo()
    assert verify(tmp_path / "audit").seq == 1


def test_the_reserve_is_spent_when_the_disk_is_full(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    log = AuditLog(tmp_path, clock, reserve_bytes=8_192)
    reserve = tmp_path / "reserve"
    assert reserve.stat().st_size == 8_192
    write = os.write

    def full_until_something_is_freed(descriptor: int, data: bytes) -> int:
        if reserve.stat().st_size == 8_192:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full_until_something_is_freed)
    assert log.record(ENTRY).seq == 1
    assert reserve.stat().st_size == 7_168
    monkeypatch.undo()
    AuditLog(tmp_path, clock, reserve_bytes=8_192)
    assert reserve.stat().st_size == 8_192  # filled up again at the next start


def test_a_folder_that_cannot_be_made_fails_at_once(tmp_path: Path, clock: ManualClock):
    (tmp_path / "file").touch()
    with pytest.raises(AuditFailed):
        AuditLog(tmp_path / "file" / "audit", clock)


# Privacy


@pytest.mark.parametrize(
    "value", ["Ada Lovelace\n", "ACGTACGTACGTACGT", "acgtacgtacgtacgt", "é", "x" * 201, '"', "{", "\x00"]
)
def test_data_has_no_place_in_it(log: AuditLog, tmp_path: Path, value: str):
    for name in ("resource", "actor", "result", "project"):
        with pytest.raises(ValueError, match=name) as caught:
            log.record_all([ENTRY, msgspec.structs.replace(ENTRY, **{name: value})])
        assert value not in str(caught.value)
    assert list(records(tmp_path / "audit")) == []


def test_pseudonyms_are_stable_and_say_nothing_without_the_key():
    names = Pseudonyms(b"k" * 32)
    assert names.of("ada") == Pseudonyms(b"k" * 32).of("ada") != names.of("bob")
    assert names.of("ada") != Pseudonyms(b"o" * 32).of("ada")
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")


# Many writers


def write_some(folder: str, count: int) -> None:
    log = AuditLog(Path(folder), ManualClock(), reserve_bytes=0)
    for _ in range(count):
        log.record(ENTRY)


def test_several_processes_write_one_chain(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_some, args=(str(tmp_path), 25)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert verify(tmp_path).seq == 100
