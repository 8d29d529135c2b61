"""What the worker needs from outside: references that stay open, the keys, the object store, the time."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from genescale.clock import Clock
from genescale.errors import InvalidInput, UnknownName
from genescale.genomics.align import Aligner, Answer
from genescale.genomics.bundle import Bundle
from genescale.genomics.dna import Dna
from genescale.genomics.references import References
from genescale.genomics.resident import Resident
from genescale.genomics.seed_index import SEEDS, UNINDEXED_BASES
from genescale.security.sealing import Sealer
from genescale.store.object_port import Objects

EMBEDDED: Final = ("mitochondrion", "clinical-panel")

# A sequence that lies in the mitochondrial genome as surely as this is not looked for in the clinical panel, whose
# nearest copy agrees in 84 % of 1,000 bases: it takes half the time. A whole genome has nearer ones and is searched.
_SURE_BASES: Final = 1_000
_SURE_IDENTITY: Final = 0.99


class Search:
    """Where DNA lies in some bundles. Its memory is large, so that all threads share one and take turns."""

    def __init__(self, bundles: tuple[Bundle, ...]) -> None:
        self._bundles = bundles
        self._apart = all(bundle.name in EMBEDDED for bundle in bundles)
        self._turn = threading.Lock()
        self._first: Aligner | None = None
        self._all: Aligner | None = None

    def place(self, dna: Dna) -> Answer:
        """In the first bundle when that is sure, else in the best of all. Raises `InvalidInput` without an index."""
        with self._turn:
            if self._first is None:
                self._bundles = self._searched()
                self._first = Aligner(self._bundles[0])
            answer = self._first.place_one(dna)
            if len(self._bundles) == 1 or (self._apart and _is_sure(answer)):
                return answer
            if self._all is None:
                self._all = Aligner(self._bundles)
            return self._all.place_one(dna)

    def _searched(self) -> tuple[Bundle, ...]:
        found = tuple(bundle for bundle in self._bundles if _can_be_searched(bundle))
        if not found:
            names = ", ".join(bundle.name for bundle in self._bundles)
            raise InvalidInput(
                f"DNA cannot be placed in {names} without an index; `genescale reference build --align` makes one",
                code="no_seeds",
            )
        return found


class ReferenceSet:
    """The references that one request is answered from, in the order in which they are asked. For one thread."""

    def __init__(self, residents: tuple[Resident, ...], search: Search) -> None:
        self.residents = residents
        self.place = search.place
        self.name = "+".join(one.name for one in residents)
        self.digest = "+".join(one.digest for one in residents)
        self._by_contig: dict[str, tuple[Resident, int] | None] = {}

    def __iter__(self) -> Iterator[Resident]:
        return iter(self.residents)

    def contig(self, name: str) -> tuple[Resident, int] | None:
        """The first reference that has a contig of this name, and its number there."""
        if name not in self._by_contig:
            if len(self._by_contig) > 10_000:
                self._by_contig.clear()  # names come from people
            found = ((one, one.bundle.contig(name)) for one in self.residents)
            self._by_contig[name] = next((pair for pair in found if pair[1] >= 0), None)
        return self._by_contig[name]

    def of(self, name: str) -> Resident:
        """The reference of this name."""
        return next(one for one in self.residents if one.name == name)


def _can_be_searched(bundle: Bundle) -> bool:
    """A large genome without an index cannot; the others are searched all the same."""
    bases = int((bundle.array("segment_end") - bundle.array("segment_start")).sum())
    return bundle.has(SEEDS[0]) or bases <= UNINDEXED_BASES


def _is_sure(answer: Answer) -> bool:
    if answer.outcome != "placed" or len(answer.placements) != 1 or answer.length < _SURE_BASES:
        return False
    return answer.placements[0].identity >= _SURE_IDENTITY


@dataclass(slots=True)
class _Shared:
    """What all threads of a process have in common."""

    references: References
    opened: dict[str, Bundle] = field(default_factory=dict[str, Bundle])
    searches: dict[tuple[str, ...], Search] = field(default_factory=dict[tuple[str, ...], Search])
    lock: threading.Lock = field(default_factory=threading.Lock)


class OpenReferences:
    """The references of an installation, each opened once. `for_thread` gives each thread its own."""

    def __init__(self, references: References | _Shared) -> None:
        self._shared = references if isinstance(references, _Shared) else _Shared(references)
        self._references = self._shared.references
        self._residents: dict[str, Resident] = {}
        self._sets: dict[str | None, ReferenceSet] = {}

    def for_thread(self) -> "OpenReferences":
        """The same open files and the same search, with working memory of its own."""
        return OpenReferences(self._shared)

    def set_of(self, wanted: str | None) -> ReferenceSet:
        """The references for a request: a bundle by its name, all of an assembly, or those that are always there.

        Raises `UnknownName` with what there is.
        """
        found = self._sets.get(wanted)
        if found is None:
            names = self._names(wanted)
            residents = tuple(self._resident(name) for name in names)
            with self._shared.lock:
                search = self._shared.searches.setdefault(tuple(names), Search(tuple(one.bundle for one in residents)))
            found = ReferenceSet(residents, search)
            if len(self._sets) > 100:
                self._sets.clear()  # names come from people
            self._sets[wanted] = found
        return found

    def _names(self, wanted: str | None) -> list[str]:
        there = self._references.names()
        usual = list(dict.fromkeys([*EMBEDDED, self._references.default()]))
        usual = [name for name in usual if name in there]
        if wanted is None:
            if not usual:
                raise UnknownName("no reference is there; `genescale reference build --embedded` makes the usual ones")
            return usual
        if wanted in there:
            return [wanted]
        of_assembly = [name for name in usual if self._resident(name).assembly.lower() == wanted.lower()]
        if of_assembly:
            return of_assembly
        known = ", ".join(f"{name} ({self._resident(name).assembly})" for name in there)
        raise UnknownName(f"there is no reference of this name or assembly; there are: {known}", code="no_reference")

    def _resident(self, name: str) -> Resident:
        found = self._residents.get(name)
        if found is None:
            with self._shared.lock:
                if name not in self._shared.opened:
                    self._shared.opened[name] = self._references.open(name)
            found = self._residents[name] = Resident(self._shared.opened[name])
        return found


class Limits(NamedTuple):
    """What is handled whole. Above it the input must be split, and until that is possible it is refused."""

    input_bytes: int = 8 << 20
    unpacked_bytes: int = 64 << 20  # a small file can claim to be a large one
    records: int = 10_000
    sequences: int = 1_000
    bases: int = 5_000_000
    answer_bytes: int = 128 * 1024  # a larger answer goes by reference


LIMITS: Final = Limits()


@dataclass(slots=True)
class WorkerDeps:
    """Everything that `handle` may touch. One for each thread."""

    references: OpenReferences
    clock: Clock
    sealer: Sealer | None = None
    objects: Objects | None = None
    source: str = "/genescale/worker"
    limits: Limits = LIMITS
    models: Mapping[str, str] = field(default_factory=dict[str, str])  # name and hash of each model that is asked
