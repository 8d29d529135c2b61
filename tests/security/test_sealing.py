import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.errors import CannotStart
from genescale.security.keys import FileKeys, KeyDestroyed, KeyUnknown
from genescale.security.sealing import OVERHEAD_BYTES, NotOpened, ProjectSealer, bound_to

BOUND = bound_to("event-1", "genetic.analysis.request", "p1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path, clock: ManualClock) -> FileKeys:
    return FileKeys(tmp_path / "keys", clock)


@pytest.fixture
def sealer(keys: FileKeys) -> ProjectSealer:
    return ProjectSealer(keys)


def test_what_was_sealed_opens_again(sealer: ProjectSealer):
    sealed = sealer.seal("p1", b"ACGT" * 100, BOUND)

    assert b"ACGT" not in sealed.data
    assert len(sealed.data) == 400 + OVERHEAD_BYTES
    assert sealer.open("p1", sealed.key_id, sealed.data, BOUND) == b"ACGT" * 100


def test_equal_plaintexts_look_different(sealer: ProjectSealer):
    assert sealer.seal("p1", b"A", BOUND).data != sealer.seal("p1", b"A", BOUND).data


def test_every_single_byte_of_it_is_guarded(sealer: ProjectSealer):
    sealed = sealer.seal("p1", b"ACGT", BOUND)
    for place in range(len(sealed.data)):
        damaged = bytearray(sealed.data)
        damaged[place] ^= 1
        with pytest.raises(NotOpened):
            sealer.open("p1", sealed.key_id, bytes(damaged), BOUND)


@pytest.mark.parametrize("other", [("event-2", "genetic.analysis.request", "p1"), ("event-1", "other.type", "p1")])
def test_a_ciphertext_cannot_be_moved_to_another_record(sealer: ProjectSealer, other: tuple[str, str, str]):
    sealed = sealer.seal("p1", b"ACGT", BOUND)

    with pytest.raises(NotOpened):
        sealer.open("p1", sealed.key_id, sealed.data, bound_to(*other))


def test_another_project_has_no_key_for_it(sealer: ProjectSealer):
    sealed = sealer.seal("p1", b"ACGT", BOUND)

    with pytest.raises(KeyUnknown, match="restore the keys"):
        sealer.open("p2", sealed.key_id, sealed.data, BOUND)


@settings(max_examples=50)
@given(data=st.binary(max_size=200))
def test_garbage_is_not_opened(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    sealer = ProjectSealer(FileKeys(tmp_path_factory.getbasetemp() / "garbage", ManualClock()))
    key_id = sealer.seal("p", b"x", b"").key_id
    with pytest.raises(NotOpened):
        sealer.open("p", key_id, data, b"")


def test_after_a_rotation_old_records_open_and_new_ones_use_the_new_key(sealer: ProjectSealer, keys: FileKeys):
    before = sealer.seal("p1", b"old", BOUND)
    keys.rotate("p1")
    after = sealer.seal("p1", b"new", BOUND)

    assert before.key_id != after.key_id
    assert sealer.open("p1", before.key_id, before.data, BOUND) == b"old"
    assert sealer.open("p1", after.key_id, after.data, BOUND) == b"new"


def test_another_process_sees_rotation_and_destruction_within_half_a_minute(tmp_path: Path, clock: ManualClock):
    ours, theirs = (ProjectSealer(FileKeys(tmp_path / "keys", clock)) for _ in range(2))
    sealed = ours.seal("p1", b"ACGT", BOUND)
    assert theirs.open("p1", sealed.key_id, sealed.data, BOUND) == b"ACGT"
    clock.advance(1)
    rotated = FileKeys(tmp_path / "keys", clock).rotate("p1")
    clock.advance(31)
    assert ours.seal("p1", b"ACGT", BOUND).key_id == rotated.key_id

    assert FileKeys(tmp_path / "keys", clock).destroy("p1") == 2
    clock.advance(31)
    for sealer in (ours, theirs):
        with pytest.raises(KeyDestroyed):
            sealer.open("p1", sealed.key_id, sealed.data, BOUND)
        with pytest.raises(KeyDestroyed):
            sealer.seal("p1", b"ACGT", BOUND)


def test_a_destroyed_project_gets_no_new_key_behind_its_back(keys: FileKeys, tmp_path: Path):
    secret = keys.newest("p1").secret
    keys.destroy("p1")

    with pytest.raises(KeyDestroyed):
        keys.rotate("p1")
    assert all(secret not in file.read_bytes() for file in (tmp_path / "keys").rglob("*") if file.is_file())


def test_only_this_user_may_read_keys(keys: FileKeys, tmp_path: Path, clock: ManualClock):
    keys.newest("p1")
    modes = {file.stat().st_mode & 0o777 for file in (tmp_path / "keys").rglob("*.json")}
    assert modes == {0o600}

    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o755)  # noqa: PTH101
    with pytest.raises(CannotStart, match="chmod 700"):
        FileKeys(tmp_path / "open", clock)


def test_a_key_does_not_print(keys: FileKeys):
    key = keys.newest("p1")

    assert key.key_id in repr(key)
    assert "secret" not in f"{key!r} {key!s}"


def test_blind_names_are_equal_for_equal_content_and_differ_between_projects(sealer: ProjectSealer):
    assert sealer.blind("p1", b"ACGT") == sealer.blind("p1", b"ACGT")
    assert sealer.blind("p1", b"ACGT") != sealer.blind("p2", b"ACGT")
