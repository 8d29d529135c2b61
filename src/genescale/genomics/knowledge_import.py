"""Adds published files of facts to a bundle: what `genescale reference build` calls for its options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from genescale.genomics.knowledge_build import ImportReport
from genescale.genomics.knowledge_clinvar import import_clinvar
from genescale.genomics.knowledge_files import Progress
from genescale.genomics.knowledge_frequencies import frequency_name, import_frequencies
from genescale.genomics.knowledge_scores import import_scores, score_kind


def import_knowledge(
    bundle_dir: str | Path,
    *,
    clinvar: str | Path | None = None,
    frequencies: Sequence[str | Path] = (),
    scores: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> Iterator[ImportReport]:
    """Import file after file; each report comes when its source is in the bundle.

    Frequency files of one name (gnomAD has one for each chromosome) and score files of one kind become one source.
    """
    if clinvar is not None:
        yield import_clinvar(bundle_dir, clinvar, progress=progress)
    for name, paths in _grouped((frequency_name(Path(path)), path) for path in frequencies):
        yield import_frequencies(bundle_dir, *paths, name=name, progress=progress)
    for _, paths in _grouped((score_kind(Path(path)), path) for path in scores):
        yield import_scores(bundle_dir, *paths, progress=progress)


def _grouped(named: Iterator[tuple[str, str | Path]]) -> list[tuple[str, list[str | Path]]]:
    groups: dict[str, list[str | Path]] = {}
    for name, path in named:
        groups.setdefault(name, []).append(path)
    return list(groups.items())
