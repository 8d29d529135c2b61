"""Names for a batch of judged variants: HGVS g., c. and n., HGVS p., SPDI and canonical SPDI, as columns of text.

`write_names` is the one door. It takes the columns that `consequence.judge` takes and gives, and returns text pools:
the name of row i is `pool[offset[i]:offset[i + 1]]`, empty where a variant has none. The loops are in `kernels.naming`
and `kernels.proteins`. `docs/reference/hgvs-names.md` states the rules, and where strict mode (Ensembl VEP 115 to the
letter) differs from the right answer.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genescale.genomics.bundle import Bundle, text_pool
from genescale.genomics.kernels import naming, proteins
from genescale.genomics.kernels.normalise import Sequence
from genescale.genomics.models import models_of
from genescale.genomics.variants import Variants

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
        return [whole[a:b].decode("ascii") for a, b in zip(ends[:-1], ends[1:], strict=True)]


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
    genes = _genes_of(bundle)
    columns = _columns(variants)
    made: dict[str, Any] = {}
    if "hgvsg" in which:
        steps = np.zeros(variants.count, np.int32)
        made["hgvsg"] = _written(
            variants.count,
            32,
            lambda out, ends, first: naming.write_genomic(genes, columns, strict, out, ends, steps, first),
        )
    if "spdi" in which:
        made["spdi"] = _written(
            variants.count, 32, lambda out, ends, first: naming.write_spdi(genes, columns, strict, out, ends, first)
        )
    if "hgvsc" in which:
        steps = np.zeros(pairs.count, np.int32)
        notes = np.zeros(pairs.count, np.uint8)
        made["hgvsc"] = _written(
            pairs.count,
            40,
            lambda out, ends, first: naming.write_coding(
                genes, columns, pairs.variant, pairs.transcript, pairs.count, strict, out, ends, steps, notes, first
            ),
        )
        made["hgvs_offset"] = steps
        made["hgvsc_exception"] = notes
    if "hgvsp" in which:
        notes = np.zeros(pairs.count, np.uint8)
        made["hgvsp"] = _written(
            pairs.count,
            16,
            lambda out, ends, first: proteins.write_protein(
                genes,
                columns,
                pairs.variant,
                pairs.transcript,
                pairs.terms,
                pairs.vep_terms,
                pairs.count,
                strict,
                brackets,
                escape,
                out,
                ends,
                notes,
                first,
            ),
        )
        made["hgvsp_exception"] = notes
    return Names(**made)


def _written(rows: int, guess: int, write: Any) -> Texts:
    """Call `write` until it has written all rows, with more room each time that it ran out."""
    pool = np.empty(rows * guess + 4096, np.uint8)
    offset = np.zeros(rows + 1, np.int64)
    done = write(pool, offset, 0)
    while done < rows:
        larger = np.empty(len(pool) * 2, np.uint8)
        larger[: offset[done]] = pool[: offset[done]]
        pool = larger
        done = write(pool, offset, done)
    return Texts(pool[: offset[rows]], offset)


_OPEN: weakref.WeakKeyDictionary[Bundle, naming.Genes] = weakref.WeakKeyDictionary()


def _genes_of(bundle: Bundle) -> naming.Genes:
    """The gene models as naming reads them: views, made once for each open bundle."""
    found = _OPEN.get(bundle)
    if found is None:
        names = ("transcript_name_text", "transcript_name_offset", "protein_name_text", "protein_name_offset")
        texts: dict[str, Any] = {name: memoryview(bundle.array(name)) for name in names}
        pool, offset = text_pool([contig.name for contig in bundle.contigs])
        texts["contig_name_text"] = memoryview(pool)
        texts["contig_name_offset"] = memoryview(offset)
        texts["contig_mitochondrial"] = bytes(contig.codon_table == 2 for contig in bundle.contigs)
        circles = [contig.length or 0 if contig.circular else 0 for contig in bundle.contigs]
        texts["contig_circle"] = memoryview(np.array(circles, np.int64))
        found = _OPEN[bundle] = naming.Genes(models_of(bundle), sequence_of(bundle), texts)
    return found


def sequence_of(bundle: Bundle) -> Sequence:
    """The bases of a bundle, for the kernels."""
    names = ("sequence", "contig_segment", "segment_start", "segment_end", "segment_base")
    return Sequence(*(memoryview(bundle.array(name)) for name in names))


def _columns(variants: Variants) -> naming.Variants:
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
    columns: dict[str, Any] = {name: memoryview(getattr(variants, name)) for name in names}
    columns["count"] = variants.count
    return naming.Variants(columns)
