"""Names for a batch of judged variants: HGVS g., c. and n., HGVS p., SPDI and canonical SPDI, as columns of text.

`write_names` is the one door. It takes the columns that `consequence.judge` takes and gives, and returns text pools:
the name of row i is `pool[offset[i]:offset[i + 1]]`, empty where a variant has none. The loops are in `kernels.naming`
and `kernels.proteins`. `docs/reference/hgvs-names.md` states the rules, and where strict mode (Ensembl VEP 115 to the
letter) differs from the right answer.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genescale.genomics.bundle import Bundle, text_pool
from genescale.genomics.kernels import naming as _naming
from genescale.genomics.kernels import proteins as _proteins
from genescale.genomics.models import models_of
from genescale.genomics.normalise import NEVER_MOVED, sequence_of, view_of
from genescale.genomics.variants import INDEL, Variants

naming: Any = _naming  # the types in a kernel are machine types
proteins: Any = _proteins

Kind: TypeAlias = Literal["hgvsc", "hgvsp", "hgvsg", "spdi", "spdi_canonical"]
ALL: Final[tuple[Kind, ...]] = ("hgvsc", "hgvsp", "hgvsg", "spdi", "spdi_canonical")


class Pairs(Protocol):
    """The columns of `consequence.Pairs` that naming reads."""

    variant: NDArray[np.int32]
    transcript: NDArray[np.int32]
    terms: NDArray[np.uint64]
    vep_terms: NDArray[np.uint64]
    count: int


@dataclass(slots=True, frozen=True)
class Texts:
    """One text for each row: row i is `pool[offset[i]:offset[i + 1]]`, empty for none."""

    pool: NDArray[np.uint8]
    offset: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset) - 1

    def __getitem__(self, row: int) -> str:
        return self.pool[self.offset[row] : self.offset[row + 1]].tobytes().decode("ascii")

    def texts(self) -> list[str]:
        """All of them. For tests and small batches: it makes an object for each row."""
        whole = self.pool.tobytes()
        ends = self.offset.tolist()
        return [whole[a:b].decode("ascii") for a, b in pairwise(ends)]


@dataclass(slots=True, frozen=True)
class Names:
    """What was asked for; the rest is None.

    By pair: `hgvsc` (c. or n.), `hgvsp`, `hgvs_offset` (how far the 3' rule moved the variant, negative on the minus
    strand), and the number of the exception under which VEP 115 writes another name (`hgvsc_exception`,
    `hgvsp_exception`; 0 almost everywhere and always in strict mode). By variant: `hgvsg`, `spdi`, `spdi_canonical`.
    """

    hgvsc: Texts | None = None
    hgvsp: Texts | None = None
    hgvs_offset: NDArray[np.int32] | None = None
    hgvsc_exception: NDArray[np.uint8] | None = None
    hgvsp_exception: NDArray[np.uint8] | None = None
    hgvsg: Texts | None = None
    spdi: Texts | None = None
    spdi_canonical: Texts | None = None


def write_names(
    bundle: Bundle,
    variants: Variants,
    pairs: Pairs,
    *,
    strict: bool = False,
    which: Collection[Kind] = ("hgvsc", "hgvsp"),
    brackets: bool = False,
    escape: bool = False,
) -> Names:
    """The names in `which` of all variants and pairs.

    `strict` writes what Ensembl VEP 115 writes, its faults included. `brackets` writes predicted proteins as HGVS asks
    (`p.(Ser81=)`), `escape` writes `=` as `%3D`, as VEP does in VCF files.
    """
    batch = _Batch(_genes_of(bundle), _columns(variants), variants.count, strict)
    return Names(
        hgvsg=_genomic(batch) if "hgvsg" in which else None,
        spdi=_spdi(batch) if "spdi" in which else None,
        spdi_canonical=justified_spdi(bundle, variants) if "spdi_canonical" in which else None,
        **(_coding(batch, pairs) if "hgvsc" in which else {}),
        **(_protein(batch, pairs, brackets, escape) if "hgvsp" in which else {}),
    )


def justified_spdi(bundle: Bundle, variants: Variants) -> Texts:
    """Canonical SPDI by variant: each over the whole stretch on which it can be moved (`normalise`)."""
    genes, columns, rows = _genes_of(bundle), _columns(variants), variants.count
    usable = (variants.flags[:rows] & NEVER_MOVED == 0) & (variants.kind[:rows] <= INDEL)
    mask = view_of(usable.view(np.uint8))

    def write(out: Any, ends: Any, first: int) -> int:
        return naming.write_spdi_canonical(genes, columns, mask, out, ends, first)

    return _written(rows, 40, write)


class _Batch(NamedTuple):
    """What every kind of name is written from."""

    genes: Any
    columns: Any
    variants: int
    strict: bool


def _genomic(batch: _Batch) -> Texts:
    steps = view_of(np.zeros(batch.variants, np.int32))

    def write(out: Any, ends: Any, first: int) -> int:
        return naming.write_genomic(batch.genes, batch.columns, batch.strict, out, ends, steps, first)

    return _written(batch.variants, 32, write)


def _spdi(batch: _Batch) -> Texts:
    def write(out: Any, ends: Any, first: int) -> int:
        return naming.write_spdi(batch.genes, batch.columns, batch.strict, out, ends, first)

    return _written(batch.variants, 32, write)


def _coding(batch: _Batch, pairs: Pairs) -> dict[str, Any]:
    steps, notes = np.zeros(pairs.count, np.int32), np.zeros(pairs.count, np.uint8)
    rows = (view_of(pairs.variant), view_of(pairs.transcript), pairs.count, batch.strict)
    results = (view_of(steps), view_of(notes))

    def write(out: Any, ends: Any, first: int) -> int:
        return naming.write_coding(batch.genes, batch.columns, *rows, out, ends, *results, first)

    return {"hgvsc": _written(pairs.count, 40, write), "hgvs_offset": steps, "hgvsc_exception": notes}


def _protein(batch: _Batch, pairs: Pairs, brackets: bool, escape: bool) -> dict[str, Any]:
    notes = np.zeros(pairs.count, np.uint8)
    rows = (view_of(pairs.variant), view_of(pairs.transcript), view_of(pairs.terms), view_of(pairs.vep_terms))
    options = (pairs.count, batch.strict, brackets, escape)
    noted = view_of(notes)

    def write(out: Any, ends: Any, first: int) -> int:
        return proteins.write_protein(batch.genes, batch.columns, *rows, *options, out, ends, noted, first)

    return {"hgvsp": _written(pairs.count, 16, write), "hgvsp_exception": notes}


def _written(rows: int, guess: int, write: Callable[[Any, Any, int], int]) -> Texts:
    """Call `write` until it has written all rows, with more room each time that it ran out."""
    pool = np.empty(rows * guess + 4096, np.uint8)
    offset = np.zeros(rows + 1, np.int64)
    done = write(view_of(pool), view_of(offset), 0)
    while done < rows:
        larger = np.empty(len(pool) * 2, np.uint8)
        larger[: offset[done]] = pool[: offset[done]]
        pool = larger
        done = write(view_of(pool), view_of(offset), done)
    return Texts(pool[: offset[rows]], offset)


_OPEN: weakref.WeakKeyDictionary[Bundle, Any] = weakref.WeakKeyDictionary()


def _genes_of(bundle: Bundle) -> Any:
    """The gene models as naming reads them: views, made once for each open bundle."""
    found = _OPEN.get(bundle)
    if found is None:
        found = _OPEN[bundle] = naming.Genes(models_of(bundle), sequence_of(bundle), texts_of(bundle))
    return found


def texts_of(bundle: Bundle) -> dict[str, Any]:
    """The texts of a bundle that names are made of, for the kernel."""
    names = ("transcript_name_text", "transcript_name_offset", "protein_name_text", "protein_name_offset")
    texts: dict[str, Any] = {name: view_of(bundle.array(name)) for name in names}
    pool, offset = text_pool([contig.name for contig in bundle.contigs])
    texts["contig_name_text"] = view_of(pool)
    texts["contig_name_offset"] = view_of(offset)
    texts["contig_mitochondrial"] = bytes(contig.codon_table == 2 for contig in bundle.contigs)
    circles = [contig.length or 0 if contig.circular else 0 for contig in bundle.contigs]
    texts["contig_circle"] = view_of(np.array(circles, np.int64))
    return texts


def _columns(variants: Variants) -> Any:
    names = (
        "record",
        "contig",
        "start",
        "kind",
        "flags",
        "ref_offset",
        "ref_length",
        "alt_offset",
        "alt_length",
        "text",
    )
    columns: dict[str, Any] = {name: view_of(getattr(variants, name)) for name in names}
    columns["count"] = variants.count
    return naming.Variants(columns)
