"""Project keys: what everything that a person sent is sealed with. One project, one key at a time, old ones kept.

Destroying the keys of a project makes all its ciphertext unreadable, in the log, in copies of it and in backups; that
is why keys never lie beside what they seal. `FileKeys` keeps them in a folder of their own, which backups of the data
must leave out. Other processes notice a new or a destroyed key within half a minute. Other homes (a vault, an HSM)
implement `Keys`.

    Permanent ── KeyDestroyed   the key was destroyed on purpose; what it sealed is gone for good
              └─ KeyUnknown     no such key here: another installation's data, or the folder was not restored
"""

import base64
import hashlib
import os
import secrets
import threading
from pathlib import Path
from typing import Final, Protocol

import msgspec

from genescale.clock import Clock
from genescale.errors import CannotStart, Permanent
from genescale.store.durable import sync_folder

KEY_BYTES: Final = 32
_FRESH_S: Final = 30.0  # how long a process may go on with what it has seen of the folder


class KeyDestroyed(Permanent):
    """Destroyed on purpose; nobody can open what it sealed."""


class KeyUnknown(Permanent):
    """This key is not here."""


class ProjectKey(msgspec.Struct, frozen=True):
    """One key. Its secret never leaves `security`, and never prints."""

    project: str
    key_id: str
    created_ms: int
    secret: bytes

    def __repr__(self) -> str:
        return f"<key {self.key_id}>"


class Keys(Protocol):
    """Where keys come from. Every call may block."""

    def newest(self, project: str) -> ProjectKey:
        """The key to seal with; the first is made when it is asked for. Raises `KeyDestroyed` for a dead project."""
        ...

    def key(self, project: str, key_id: str) -> ProjectKey:
        """A key to open with. Raises `KeyDestroyed` or `KeyUnknown`."""
        ...

    def rotate(self, project: str) -> ProjectKey:
        """Make a new key; what the old ones sealed stays readable."""
        ...

    def destroy(self, project: str) -> int:
        """Destroy all keys of a project, for ever. How many there were."""
        ...


class _Stored(msgspec.Struct, frozen=True):
    project: str
    created_ms: int
    secret: str


class FileKeys:
    """Keys as files that only this user can read: `<folder>/<digest of the project>/<key id>.json`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, ProjectKey]] = {}
        self._newest: dict[str, tuple[float, ProjectKey]] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CannotStart(f"the folder for keys {folder} cannot be made: {error.strerror}") from error
        if folder.stat().st_mode & 0o077:
            raise CannotStart(f"others may read the keys in {folder}; chmod 700 it, and rotate the keys")

    def newest(self, project: str) -> ProjectKey:
        """See `Keys`."""
        with self._lock:
            held = self._newest.get(project)
            now_s = self._clock.monotonic_s()
            if held is not None and now_s - held[0] < _FRESH_S:
                return held[1]
            found = self._read_all(project)
            if not found:
                self._refuse_destroyed(project)
            key = max(found, key=_age) if found else self._make(project)
            self._newest[project] = (now_s, key)
            return key

    def key(self, project: str, key_id: str) -> ProjectKey:
        """See `Keys`."""
        with self._lock:
            held = self._known.pop((project, key_id), None)
            if held is not None and self._clock.monotonic_s() - held[0] < _FRESH_S:
                self._known[project, key_id] = held
                return held[1]
            for one in self._read_all(project):
                if one.key_id == key_id:
                    return one
            self._refuse_destroyed(project)
            raise KeyUnknown(f"the key {key_id} of this project is not in {self._folder}; restore the keys as well")

    def rotate(self, project: str) -> ProjectKey:
        """See `Keys`."""
        with self._lock:
            self._refuse_destroyed(project)
            key = self._make(project)
            self._newest[project] = (self._clock.monotonic_s(), key)
            return key

    def destroy(self, project: str) -> int:
        """See `Keys`."""
        with self._lock:
            home = self._home(project)
            home.mkdir(mode=0o700, exist_ok=True)
            (home / "destroyed").touch()
            sync_folder(home)  # first the tombstone: half a destruction must not let a new key be made
            files = list(home.glob("*.json"))
            for file in files:
                _overwrite(file)
                file.unlink()
            sync_folder(home)
            self._newest.pop(project, None)
            self._known = {where: held for where, held in self._known.items() if where[0] != project}
            return len(files)

    def _home(self, project: str) -> Path:
        return self._folder / hashlib.sha256(project.encode()).hexdigest()[:32]

    def _path(self, project: str, key_id: str) -> Path:
        return self._home(project) / f"{key_id}.json"

    def _refuse_destroyed(self, project: str) -> None:
        if (self._home(project) / "destroyed").exists():
            raise KeyDestroyed("the keys of this project were destroyed; what they sealed cannot be read any more")

    def _read_all(self, project: str) -> list[ProjectKey]:
        found: list[ProjectKey] = []
        for file in self._home(project).glob("*.json"):
            stored = msgspec.json.decode(file.read_bytes(), type=_Stored)
            key = ProjectKey(stored.project, file.stem, stored.created_ms, base64.b64decode(stored.secret))
            self._known[project, key.key_id] = (self._clock.monotonic_s(), key)
            found.append(key)
        return found

    def _make(self, project: str) -> ProjectKey:
        key = ProjectKey(project, secrets.token_hex(8), self._clock.wall_ms(), secrets.token_bytes(KEY_BYTES))
        home = self._home(project)
        home.mkdir(mode=0o700, exist_ok=True)
        stored = _Stored(project, key.created_ms, base64.b64encode(key.secret).decode())
        arriving = home / f".{key.key_id}.arriving"
        descriptor = os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(stored))
            file.flush()
            os.fsync(file.fileno())
        arriving.rename(self._path(project, key.key_id))
        sync_folder(home)  # a key that seals must survive a power cut, or what it sealed is lost
        sync_folder(self._folder)
        self._known[project, key.key_id] = (self._clock.monotonic_s(), key)
        return key


def _age(key: ProjectKey) -> tuple[int, str]:
    return key.created_ms, key.key_id


def _overwrite(file: Path) -> None:
    """Best effort: file systems that copy on write keep the old bytes, which is why disks are encrypted too."""
    with file.open("r+b") as open_file:
        open_file.write(secrets.token_bytes(file.stat().st_size))
        open_file.flush()
        os.fsync(open_file.fileno())
