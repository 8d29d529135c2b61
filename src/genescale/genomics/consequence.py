"""What variants do to transcripts: `judge(bundle, variants)` gives one row for each variant and transcript.

The rules are VEP's, release 115, and `docs/reference/consequences.md` states them. By default the known faults of VEP
are corrected: where that changes the terms, `vep_terms` holds what VEP says and `exception` the number of the entry in
`docs/reference/vep-differences.md`. With `strict=True` VEP is reproduced, its faults included.

    pairs = judge(bundle, variants)
    for row in range(pairs.count):
        print(pairs.transcript[row], terms.names(int(pairs.terms[row])))
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from genescale.genomics.bundle import INDEX_REACH, Bundle
from genescale.genomics.kernels.consequence import REASONS, Judge
from genescale.genomics.models import models_of
from genescale.genomics.variants import Variants

FLANK: Final = 5_000

# Bits of `Pairs.notes`; `docs/reference/consequences.md` says when each is set
NMD_PREDICTED = 1
NMD_ESCAPE = 2
LOF_HIGH = 4
LOF_LOW = 8  # with at least one of the following reasons
LAST_PART = 16  # the stop escapes decay and less than a tenth of the protein is lost
INCOMPLETE_CDS = 32  # the transcript's own CDS is incomplete
UTR_INTRON = 64  # the splice sites are those of introns in a UTR
SHORT_INTRON = 128  # the introns are too short (30 bases) to be spliced
NO_STOP = 256  # the new reading frame has no stop

_COLUMNS: Final = (
    ("variant", "i4"),
    ("transcript", "i4"),
    ("terms", "u8"),
    ("vep_terms", "u8"),
    ("exception", "u1"),
    ("distance", "i4"),
    ("exon_first", "i4"),
    ("exon_last", "i4"),
    ("intron_first", "i4"),
    ("intron_last", "i4"),
    ("cdna_start", "i4"),
    ("cdna_end", "i4"),
    ("cds_start", "i4"),
    ("cds_end", "i4"),
    ("protein_start", "i4"),
    ("protein_end", "i4"),
    ("peptide_offset", "i4"),
    ("ref_peptide_length", "i4"),
    ("alt_peptide_length", "i4"),
    ("codon_offset", "i4"),
    ("ref_codon_length", "i4"),
    ("alt_codon_length", "i4"),
    ("overlap_bp", "i4"),
    ("overlap_pc", "f4"),
    ("notes", "u4"),
)


@dataclass(slots=True)
class Pairs:
    """Columns of one batch; the first `count` rows and the first `text_length` bytes of `text` are in use.

    `variant` is a row of the judged `Variants`; rows come in the order of the variants and, for one variant, in that of
    the annotation file. `transcript` is -1 in the one row of a variant that no transcript is near. `terms` is a mask
    (`terms.names`). Exon and intron numbers, and positions, count from 1 in the direction of the transcript; 0 is
    undefined. An insertion between p and p + 1 has start p + 1 and end p. CDS positions count the Ns of an incomplete
    first codon. Peptides and codons lie in `text`, changed bases in upper case; both lengths 0: there are none.
    """

    variant: NDArray[np.int32]
    transcript: NDArray[np.int32]
    terms: NDArray[np.uint64]
    vep_terms: NDArray[np.uint64]
    exception: NDArray[np.uint8]
    distance: NDArray[np.int32]
    exon_first: NDArray[np.int32]
    exon_last: NDArray[np.int32]
    intron_first: NDArray[np.int32]
    intron_last: NDArray[np.int32]
    cdna_start: NDArray[np.int32]
    cdna_end: NDArray[np.int32]
    cds_start: NDArray[np.int32]
    cds_end: NDArray[np.int32]
    protein_start: NDArray[np.int32]
    protein_end: NDArray[np.int32]
    peptide_offset: NDArray[np.int32]
    ref_peptide_length: NDArray[np.int32]
    alt_peptide_length: NDArray[np.int32]
    codon_offset: NDArray[np.int32]
    ref_codon_length: NDArray[np.int32]
    alt_codon_length: NDArray[np.int32]
    overlap_bp: NDArray[np.int32]
    overlap_pc: NDArray[np.float32]
    notes: NDArray[np.uint32]
    text: NDArray[np.uint8]
    count: int = 0
    text_length: int = 0

    @classmethod
    def allocate(cls, rows: int, text: int) -> Pairs:
        """Room for `rows` rows and `text` bytes, none in use."""
        columns: dict[str, Any] = {name: np.empty(rows, dtype) for name, dtype in _COLUMNS}
        return cls(**columns, text=np.empty(text, np.uint8))

    def grow(self, rows: int, text: int) -> None:
        """Make room for at least `rows` rows and `text` bytes, keeping what is in use."""
        if rows > len(self.variant):
            for name, dtype in _COLUMNS:
                larger = np.empty(rows, dtype)
                larger[: self.count] = getattr(self, name)[: self.count]
                setattr(self, name, larger)
        if text > len(self.text):
            larger = np.empty(text, np.uint8)
            larger[: self.text_length] = self.text[: self.text_length]
            self.text = larger

    def peptides(self, row: int) -> tuple[str, str] | None:
        """Reference and alternative peptide, None where there are none."""
        return self._two(int(self.peptide_offset[row]), int(self.ref_peptide_length[row]), self.alt_peptide_length[row])

    def codons(self, row: int) -> tuple[str, str] | None:
        """Reference and alternative codons, None where there are none."""
        return self._two(int(self.codon_offset[row]), int(self.ref_codon_length[row]), self.alt_codon_length[row])

    def _two(self, offset: int, ref: int, alt: Any) -> tuple[str, str] | None:
        if not ref and not alt:
            return None
        text = self.text[offset : offset + ref + int(alt)].tobytes().decode("ascii")
        return text[:ref], text[ref:]


class _Workplace:
    """A bundle's judge and its working memory, made once and used for every batch of one thread."""

    def __init__(self, bundle: Bundle) -> None:
        self.models = models_of(bundle)
        codes = bytes(2 if contig.name == "MT" else 1 for contig in bundle.contigs)  # as VEP on a GFF file
        lengths = bundle.array("transcript_cdna_length")
        self.judge: Any = Judge(self.models, codes or b"\1", int(lengths.max()) if len(lengths) else 0)
        transcripts = len(lengths) + 1
        self.candidates = np.zeros(transcripts, np.int32)
        self.seen = np.zeros(transcripts, np.int32)
        self.more_letters(1)

    def more_letters(self, wanted: int) -> None:
        self.letters = np.zeros(wanted, np.uint8)
        self.judge.scratch_is(_view(self.candidates), _view(self.seen), _view(self.letters))


_WORKPLACES: weakref.WeakKeyDictionary[Bundle, list[_Workplace]] = weakref.WeakKeyDictionary()


def judge(
    bundle: Bundle,
    variants: Variants,
    *,
    strict: bool = False,
    shift: bool = False,
    flank: int = FLANK,
    circular_flanks: bool = False,
    check_reference: bool = True,
    into: Pairs | None = None,
) -> Pairs:
    """Every consequence of `variants` on the transcripts of `bundle`.

    `strict` reproduces VEP, faults included. `shift` judges insertions and deletions at their 3'-most place on each
    transcript, as VEP's `--shift_3prime 1`. `flank` is the reach of upstream and downstream terms (at most 6,000).
    `circular_flanks` gives such terms on circular contigs too, around the origin. `check_reference` compares REF with
    the genome. `into` takes the place of a new `Pairs`; what it held is gone.

    Flags of `variants` are set where a variant cannot be judged (unknown contig, past the end, outside the reference)
    and where REF is not the base of the reference; such variants get no rows (`strict`: a wrong REF is judged).
    """
    if not 0 <= flank <= INDEX_REACH:
        raise ValueError(f"flank must lie between 0 and {INDEX_REACH}, not {flank}")
    pairs = into if into is not None else Pairs.allocate(4 * variants.count + 64, 16 * variants.count + 1024)
    pairs.count = pairs.text_length = 0
    waiting = _WORKPLACES.setdefault(bundle, [])
    try:
        place = waiting.pop()  # one thread, one workplace: `pop` is atomic
    except IndexError:
        place = _Workplace(bundle)
    try:
        place.judge.options(strict, shift, flank, circular_flanks, check_reference)
        _run(place, variants, pairs)
    finally:
        waiting.append(place)
    return pairs


def _run(place: _Workplace, variants: Variants, pairs: Pairs) -> None:
    """Judge the whole batch, making room where the kernel asks for it."""
    judge = place.judge
    judge.variants_are(
        variants.count,
        _view(variants.contig),
        _view(variants.start),
        _view(variants.end),
        _view(variants.kind),
        _view(variants.sv),
        _view(variants.ref_offset),
        _view(variants.ref_length),
        _view(variants.alt_offset),
        _view(variants.alt_length),
        _view(variants.flags),
        _view(variants.text),
    )
    _give(judge, pairs)
    done = 0
    while True:
        done = judge.run(done)
        pairs.count, pairs.text_length = judge.count, judge.text_length
        if done == variants.count:
            return
        why: str = REASONS[int(judge.why)]
        wanted = int(judge.wanted)
        if why == "scratch":
            place.more_letters(wanted)
        elif why == "rows":
            pairs.grow(max(wanted, 2 * len(pairs.variant)), 0)
        else:
            pairs.grow(0, max(wanted, 2 * len(pairs.text)))
        _give(judge, pairs)


def _give(judge: Any, pairs: Pairs) -> None:
    columns = {name: _view(getattr(pairs, name)) for name, _ in _COLUMNS}
    judge.pairs_are(pairs.count, pairs.text_length, columns, _view(pairs.text))


def _view(array: NDArray[Any]) -> memoryview:
    return memoryview(cast("Any", array))
