"""The names that one contig goes by: chr1, 1, NC_000001.11."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

_MITOCHONDRIAL: Final = ("MT", "M", "chrM", "chrMT", "NC_012920.1")


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


def is_mitochondrial(name: str) -> bool:
    """Whether this is a usual name of the human mitochondrial genome."""
    return name in _MITOCHONDRIAL


def aliases_of(name: str) -> tuple[str, ...]:
    """Other names of the contig called `name`."""
    if is_mitochondrial(name):
        return tuple(other for other in _MITOCHONDRIAL if other != name)
    return (name[3:],) if name.startswith("chr") and len(name) > 3 else (f"chr{name}",)


def alias_index(contigs: Sequence[tuple[str, Iterable[str]]]) -> dict[str, int]:
    """Name to index. A contig's own name wins over an alias; an alias that two contigs claim belongs to neither."""
    claimed: dict[str, int] = {}
    for index, (_, aliases) in enumerate(contigs):
        for alias in aliases:
            claimed[alias] = -1 if claimed.get(alias, index) != index else index
    found = {alias: index for alias, index in claimed.items() if index >= 0}
    found.update({name: index for index, (name, _) in enumerate(contigs)})
    return found


def usual_names(contigs: Sequence[Named]) -> str:
    """The names of some contigs, for a message."""
    names = [contig.name for contig in contigs]
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
