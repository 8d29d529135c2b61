"""What every object store behind the port `store.object_port` must do: local folder, memory, Azure (mark `azurite`)."""

import hashlib
import hmac
import io
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import obstore
import pytest

from genescale.clock import ManualClock
from genescale.store.by_reference import INLINE_BYTES_MAX, from_document, pack, to_document, unpack
from genescale.store.object_port import (
    ObjectDamaged,
    ObjectMissing,
    ObjectReference,
    Objects,
    ObjectsNotWritable,
    ObjectsUnavailable,
)
from genescale.store.objects import CHUNK_BYTES, GRACE_MIN_S, PART_BYTES, CheckedObjects, CloudBlobs, open_objects
from support.azurite import Azurite, azurite

LARGE = 3 * CHUNK_BYTES + 17
DAY_S = 86_400.0


class Kind:
    """One store, and what a test does behind its back."""

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        self.clock = ManualClock(wall_ms=int(time.time() * 1000))
        self.objects: Objects = open_objects(url, self.clock, options=options)
        self._url, self._options = url, options or {}

    def corrupt(self, path: str, change: Callable[[bytearray], object]) -> None:
        """Change the bytes of a blob."""
        if self._url.startswith("file:"):
            file = Path(self._url.removeprefix("file://")) / path
            content = bytearray(file.read_bytes())
            change(content)
            file.write_bytes(content)
            return
        content = bytearray(obstore.get(self.store, path).bytes())
        change(content)
        obstore.put(self.store, path, bytes(content))

    @property
    def store(self) -> Any:
        assert isinstance(self.objects, CheckedObjects)
        assert isinstance(self.objects._blobs, CloudBlobs)
        return self.objects._blobs._store


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as service:
        yield service


NUMBERS = itertools.count()


@pytest.fixture(params=["folder", "memory", pytest.param("azure", marks=pytest.mark.azurite)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "folder":
        return Kind(f"file://{tmp_path}/objects-here")
    if request.param == "memory":
        return Kind("memory://")
    service: Azurite = request.getfixturevalue("azure")
    container = f"objects-{next(NUMBERS)}"
    service.create_container(container)
    return Kind(f"azure://{container}", service.options)


@pytest.fixture
def objects(kind: Kind) -> Objects:
    return kind.objects


def content_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


SIZES = [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, LARGE, PART_BYTES + 1]


@pytest.mark.parametrize("size", SIZES)
def test_content_comes_back(objects: Objects, size: int) -> None:
    content = content_of(size)
    reference = objects.put(content, content_type="text/x-vcf")
    assert reference == ObjectReference(
        name=hashlib.sha256(content).hexdigest(),
        size=size,
        sha256=hashlib.sha256(content).hexdigest(),
        content_type="text/x-vcf",
    )
    assert objects.exists(reference.name)
    assert objects.get(reference) == content
    assert b"".join(objects.stream(reference)) == content
    assert objects.put(io.BytesIO(content), content_type="text/x-vcf") == reference
    assert objects.put(iter([content[:10], content[10:]]), content_type="text/x-vcf") == reference


@pytest.mark.parametrize("size", [1000, LARGE])
def test_ranges(objects: Objects, size: int) -> None:
    content = content_of(size)
    reference = objects.put(content)
    for start in (0, 999, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5, LARGE - 1, LARGE, 10 * LARGE):
        for length in (0, 1, 1000, CHUNK_BYTES, 10 * LARGE):
            assert objects.get_range(reference, start, length) == content[start : start + length]
    with pytest.raises(ValueError):
        objects.get_range(reference, -1, 5)


def test_a_missing_object_is_named(objects: Objects) -> None:
    for size in (5, LARGE):
        reference = ObjectReference(name="0123456789abcdef", size=size, sha256="0" * 64)
        with pytest.raises(ObjectMissing, match="0123456789abcdef"):
            objects.get(reference)
        with pytest.raises(ObjectMissing, match="0123456789abcdef"):
            list(objects.stream(reference))
    assert not objects.exists("0123456789abcdef")
    objects.delete("0123456789abcdef")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd-0123456789", "short", "a" * 129, "0123456789abcdef/..", "0123456789abcdef\n"]
)
def test_a_name_cannot_leave_the_store(objects: Objects, name: str) -> None:
    with pytest.raises(ValueError):
        objects.exists(name)
    with pytest.raises(ValueError):
        objects.get(ObjectReference(name=name, size=1, sha256="0" * 64))


def test_a_second_put_of_the_same_content_is_free(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(kind.objects, CheckedObjects)
    for size in (10, LARGE):
        reference = kind.objects.put(content_of(size))
        with monkeypatch.context() as patch:
            patch.setattr(kind.objects._blobs, "publish", None)  # it would be called in vain
            assert kind.objects.put(content_of(size)) == reference
    assert len(list(kind.objects.list())) == 2


def test_the_name_can_come_from_a_key(objects: Objects) -> None:
    keyed = partial(hmac.new, b"the key of a project", digestmod="sha256")
    first = objects.put(b"GATTACA", name_hash=keyed)
    assert first.name == hmac.new(b"the key of a project", b"GATTACA", "sha256").hexdigest()
    assert objects.put(b"GATTACA").name != first.name
    assert objects.get(first) == b"GATTACA"


def test_delete_and_list(objects: Objects) -> None:
    small, large = objects.put(b"small"), objects.put(content_of(LARGE))
    listed = {line.name: line for line in objects.list()}
    assert {name: line.size for name, line in listed.items()} == {small.name: 5, large.name: LARGE}
    assert all(abs(line.modified_ms - time.time() * 1000) < 60_000 for line in listed.values())
    objects.delete(large.name)
    assert [line.name for line in objects.list()] == [small.name]
    with pytest.raises(ObjectMissing):
        next(objects.stream(large))


# ------------------------------------------------------------------ damage


def flip(content: bytearray, place: int) -> None:
    content[place] ^= 1


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: flip(content, 0),
        lambda content: flip(content, len(content) // 2),
        lambda content: flip(content, len(content) - 1),
        lambda content: content.pop(),
        lambda content: content.append(0),
        lambda content: content.clear(),
    ],
)
def test_damage_is_named_and_never_served(kind: Kind, size: int, change: Callable[[bytearray], object]) -> None:
    content = content_of(size)
    reference = kind.objects.put(content)
    kind.corrupt(f"objects/{reference.name[:2]}/{reference.name}", change)
    with pytest.raises(ObjectDamaged, match=reference.name) as raised:
        kind.objects.get(reference)
    assert raised.value.name == reference.name
    served = b""
    try:
        for chunk in kind.objects.stream(reference):
            served += chunk
    except ObjectDamaged:
        pass
    assert content.startswith(served)
    kind.objects.delete(reference.name)
    assert kind.objects.get(kind.objects.put(content)) == content  # the way out works


@pytest.mark.parametrize("place", [0, 40, -1])
def test_damaged_checksums_are_named(kind: Kind, place: int) -> None:
    reference = kind.objects.put(content_of(LARGE))
    kind.corrupt(f"sums/{reference.name[:2]}/{reference.name}", lambda content: flip(content, place))
    with pytest.raises(ObjectDamaged, match="checksums"):
        next(kind.objects.stream(reference))


def test_a_truncated_object_is_healed_by_putting_it_again(kind: Kind) -> None:
    reference = kind.objects.put(content_of(1000))
    kind.corrupt(f"objects/{reference.name[:2]}/{reference.name}", lambda content: content.pop())
    kind.objects.put(content_of(1000))
    assert kind.objects.get(reference) == content_of(1000)


# ------------------------------------------------------------------ collecting


def test_only_what_is_old_and_unreferenced_is_collected(kind: Kind) -> None:
    alive, dead = kind.objects.put(b"alive"), kind.objects.put(content_of(LARGE))
    assert kind.objects.collect({alive.name}, DAY_S).removed == 0  # too young
    kind.clock.advance(2 * DAY_S)
    done = kind.objects.collect({alive.name}, DAY_S)
    assert (done.removed, done.removed_bytes, done.kept) == (1, LARGE, 1)
    assert kind.objects.get(alive) == b"alive"
    assert not kind.objects.exists(dead.name)
    if isinstance(kind.objects, CheckedObjects):
        assert list(kind.objects._blobs.list("sums")) == []
    assert kind.objects.put(content_of(LARGE)) == dead
    assert b"".join(kind.objects.stream(dead)) == content_of(LARGE)


def test_a_short_grace_time_is_refused(objects: Objects) -> None:
    with pytest.raises(ValueError, match="too short"):
        objects.collect(set(), GRACE_MIN_S - 1)


def test_an_old_object_that_is_put_again_is_young(tmp_path: Path) -> None:
    clock = ManualClock(wall_ms=int((time.time() - 2 * DAY_S) * 1000))
    objects = open_objects(f"file://{tmp_path}", clock)
    reference = objects.put(b"again")
    file = tmp_path / "objects" / reference.name[:2] / reference.name
    os.utime(file, (time.time() - 2 * DAY_S,) * 2)
    clock.advance(2 * DAY_S)
    objects.put(b"again")
    assert objects.collect(set(), DAY_S).removed == 0
    assert objects.get(reference) == b"again"


def test_an_old_object_in_a_cloud_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind("memory://")
    kind.objects.put(b"again")
    kind.clock.advance(GRACE_MIN_S)
    published: list[str] = []
    assert isinstance(kind.objects, CheckedObjects)
    monkeypatch.setattr(kind.objects._blobs, "publish", lambda staged, path, size, kind: published.append(path))
    kind.objects.put(b"again")
    assert len(published) == 1


def test_what_is_being_written_is_never_collected(kind: Kind) -> None:
    """A collector runs all the time while objects are put; none of them may be gone."""
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            kind.objects.collect(set(), GRACE_MIN_S)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        references = [kind.objects.put(content_of(2000, seed % 20)) for seed in range(60)]
        slow = kind.objects.put(slowly(content_of(LARGE)))
    finally:
        stop.set()
        collector.join()
    assert all(kind.objects.get(reference) for reference in references)
    assert kind.objects.get(slow) == content_of(LARGE)


def slowly(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 300_000):
        time.sleep(0.005)
        yield content[start : start + 300_000]


def test_an_upload_that_breaks_off_leaves_nothing(kind: Kind) -> None:
    def broken() -> Iterator[bytes]:
        yield content_of(LARGE)
        raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        kind.objects.put(broken())
    assert list(kind.objects.list()) == []


# ------------------------------------------------------------------ addresses, large ones, by reference


@pytest.mark.parametrize("url", ["", "file://", "file://host/path", "ftp://x", "azure://", "s3:///x", "relative/path"])
def test_an_address_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="names no object store"):
        open_objects(url, ManualClock())


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/prefix", {"region": "eu-central-1"}),
        ("azure://container/prefix", {"account_name": "a"}),
        ("az://container", {"account_name": "a"}),
    ],
)
def test_the_address_of_a_cloud_is_understood(url: str, options: dict[str, str]) -> None:
    assert open_objects(url, ManualClock(), options=options)


UPLOAD = """
import sys
from pathlib import Path
from genescale.clock import SystemClock
from genescale.store.objects import open_objects

def most_memory_mb():  # VmHWM; getrusage would tell the parent's figure, which survives exec
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

objects = open_objects(sys.argv[1], SystemClock(), options=eval(sys.argv[2]))
objects.put(b"warm")
before = most_memory_mb()
block = bytes(range(256)) * 4096
reference = objects.put(block for _ in range(300))
read = sum(len(chunk) for chunk in objects.stream(reference))
assert read == reference.size == 300 * 1_048_576, read
print(most_memory_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", pytest.param("azure", marks=pytest.mark.azurite)])
def test_300_megabytes_go_through_bounded_memory(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url, options = f"file://{tmp_path}/o", None
    if where == "azure":
        service: Azurite = request.getfixturevalue("azure")
        service.create_container("large-ones")
        url, options = "azure://large-ones", service.options
    program = [sys.executable, "-c", UPLOAD, url, repr(options)]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=True)
    print(f"{int(done.stdout)} MB more than before")
    assert int(done.stdout) < 120, "megabytes more than before"


@pytest.mark.parametrize("size", [0, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1])
def test_large_payloads_travel_by_reference(objects: Objects, size: int) -> None:
    payload = content_of(size)
    packed = pack(payload, objects, content_type="application/json")
    assert isinstance(packed, ObjectReference) == (size > INLINE_BYTES_MAX)
    if isinstance(packed, ObjectReference):
        document = to_document(packed)
        assert len(document) < 300
        packed = from_document(document)
    assert unpack(packed, objects) == payload


@pytest.mark.azurite
def test_the_content_type_reaches_the_cloud(azure: Azurite) -> None:
    azure.create_container("types")
    kind = Kind("azure://types", azure.options)
    reference = kind.objects.put(b"<p>", content_type="text/html")
    path = f"objects/{reference.name[:2]}/{reference.name}"
    assert obstore.get(kind.store, path).attributes["Content-Type"] == "text/html"


@pytest.mark.azurite
def test_a_cloud_that_refuses_or_does_not_answer_is_named(azure: Azurite) -> None:
    azure.create_container("closed")
    wrong = Kind("azure://closed", {**azure.options, "account_key": "d3Jvbmc="})
    with pytest.raises(ObjectsNotWritable, match="azure://closed"):
        wrong.objects.put(b"x")
    silent = {**azure.options, "endpoint": "http://127.0.0.1:9/x", "retry_config": {"max_retries": 0}}
    with pytest.raises(ObjectsUnavailable, match="azure://closed"):
        Kind("azure://closed", silent).objects.put(b"x")
