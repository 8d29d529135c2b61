"""Ensembl's own answer: variants judged by a VEP REST server instead of by our engine.

For those who want what Ensembl says, word for word, or want to hold our answer against it. `EnsemblAnnotator.annotate`
gives the rows that `genomics.annotate.annotate` gives, under the same names, and two more fields: `source` says which
server of which release answered, `problem` why there is no answer for a variant. Nothing falls back: when the server
does not answer, the caller gets `RestUnavailable` and no row of anybody else.

**Variants leave this machine.** Therefore the annotator must be told `variants_may_leave=True`, and refuses references
that are synthetic, of which Ensembl knows nothing. `docs/how-to/use-ensembls-own-answer.md` is the page for users.
"""

from __future__ import annotations

import threading
import urllib.parse
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from genescale.clock import Clock
from genescale.errors import CannotStart, UnknownName
from genescale.genomics.aliases import assembly_family
from genescale.worker.rest_client import RestClient, RestRefused, RestUnavailable

SERVERS: Final[Mapping[str, str]] = {
    "GRCh38": "https://rest.ensembl.org",
    "GRCh37": "https://grch37.rest.ensembl.org",
}
BATCH: Final = 200  # the server's limit of a POST
RELEASE_AGE_S: Final = 3600.0  # how long a release is believed
CACHE_ANSWERS: Final = 20_000
NOTHING: Final = "-"  # an empty field, as in our own rows

FIELDS: Final = (
    *("id", "location", "allele", "consequence", "impact", "symbol", "gene", "feature_type", "transcript", "biotype"),
    *("exon", "intron", "hgvsc", "hgvsp", "cdna_position", "cds_position", "protein_position", "amino_acids", "codons"),
    *("distance", "strand", "flags", "symbol_source", "hgnc_id", "canonical", "mane", "tsl", "appris", "ccds", "ensp"),
    *("existing_variation", "clinical_significance", "gnomade_af", "gnomadg_af", "contig", "pos", "ref", "alt"),
    *("allele_num", "source", "problem"),
)
_OPTIONS: Final = "canonical=1&ccds=1&hgvs=1&mane=1&numbers=1&protein=1&tsl=1&appris=1&transcript_version=1"
_SEQUENCE: Final = frozenset("ACGTN")


class Asked(NamedTuple):
    """One ALT allele as VCF writes it. `id` is the column ID, `.` for none."""

    contig: str
    position: int
    ref: str
    alt: str
    id: str = "."
    allele_num: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says about one allele: `rows` in its order, or `problem` when it has no answer."""

    asked: Asked
    source: str
    rows: tuple[dict[str, str], ...]
    problem: str = ""
    cached: bool = False


class Transcript(msgspec.Struct, frozen=True):
    """`transcript_consequences` of an answer, as far as it is used. Positions at an end that is unknown are absent."""

    consequence_terms: list[str]
    transcript_id: str = ""
    variant_allele: str = ""
    impact: str = ""
    gene_id: str = ""
    gene_symbol: str = ""
    gene_symbol_source: str = ""
    hgnc_id: str | int = ""
    biotype: str = ""
    strand: int | None = None
    exon: str = ""
    intron: str = ""
    hgvsc: str = ""
    hgvsp: str = ""
    cdna_start: int | None = None
    cdna_end: int | None = None
    cds_start: int | None = None
    cds_end: int | None = None
    protein_start: int | None = None
    protein_end: int | None = None
    amino_acids: str = ""
    codons: str = ""
    distance: int | None = None
    flags: list[str] = []
    canonical: int = 0
    mane_select: str = ""
    mane_plus_clinical: str = ""
    tsl: int | str | None = None
    appris: str = ""
    ccds: str = ""
    protein_id: str = ""
    regulatory_feature_id: str = ""
    motif_feature_id: str = ""


class Colocated(msgspec.Struct, frozen=True):
    """`colocated_variants` of an answer."""

    id: str = ""
    allele_string: str = ""
    clin_sig_allele: str | None = None
    frequencies: dict[str, dict[str, float]] | None = None


class Result(msgspec.Struct, frozen=True):
    """One element of the array that the server sends."""

    id: str = ""
    input: str = ""
    assembly_name: str = ""
    seq_region_name: str = ""
    start: int = 0
    end: int = 0
    allele_string: str = ""
    most_severe_consequence: str = ""
    transcript_consequences: list[Transcript] = []
    regulatory_feature_consequences: list[Transcript] = []
    motif_feature_consequences: list[Transcript] = []
    intergenic_consequences: list[Transcript] = []
    colocated_variants: list[Colocated] = []


class _Software(msgspec.Struct):
    release: int


class _Assembly(msgspec.Struct):
    default_coord_system_version: str = ""
    assembly_name: str = ""


class EnsemblAnnotator:
    """Asks a VEP REST server. Keep one: it holds the pace, the circuit and the cache. Threads may share it.

    `assembly` is that of the variants; `synthetic` that of their reference (`Bundle.synthetic`). Raises `CannotStart`
    unless `variants_may_leave` is said, for synthetic references, and for assemblies that Ensembl does not serve.
    """

    def __init__(
        self,
        *,
        assembly: str,
        synthetic: bool,
        variants_may_leave: bool,
        clock: Clock,
        seed: int,
        url: str = "",
        proxy: str = "",
        species: str = "homo_sapiens",
        client: RestClient | None = None,
        cache_answers: int = CACHE_ANSWERS,
    ) -> None:
        if not variants_may_leave:
            raise CannotStart(
                "asking Ensembl sends variants to a server outside; say so first (variants_may_leave=True), "
                "docs/how-to/use-ensembls-own-answer.md tells what is sent"
            )
        self.assembly = assembly_family(assembly)
        if synthetic:
            raise CannotStart(
                "the reference is synthetic: Ensembl knows nothing of it, and its answer would be about another genome"
            )
        if self.assembly not in SERVERS:
            raise CannotStart(
                f"Ensembl answers for {' and '.join(SERVERS)}, and the reference is {assembly or 'unknown'}"
            )
        self._client = client or RestClient(url or SERVERS[self.assembly], clock=clock, seed=seed, proxy=proxy)
        self._clock = clock
        self._species = urllib.parse.quote(species, safe="")
        self._cache: OrderedDict[tuple[str, str, int, str, str], Answer] = OrderedDict()
        self._cache_answers = cache_answers
        self._lock = threading.Lock()
        self._release = ""
        self._release_until_s = 0.0

    @property
    def server(self) -> str:
        """The server's address, and which release it said it serves."""
        return f"{self._client.url} ({self._release or 'not asked yet'})"

    @property
    def circuit(self) -> str:
        """`closed`, `open` or `half open`."""
        return self._client.circuit.state

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def source(self) -> str:
        """Which server of which release answers, as every row says it; asks the server once an hour.

        Raises `CannotStart` when the server is one of another assembly.
        """
        with self._lock:
            if self._release and self._clock.monotonic_s() < self._release_until_s:
                return self._release
        software = self._read("GET info/software", "/info/software", _Software)
        path = f"/info/assembly/{self._species}"
        assembly = self._read("GET info/assembly", path, _Assembly)
        stated = assembly.default_coord_system_version or assembly.assembly_name
        if assembly_family(stated) != self.assembly:
            raise CannotStart(
                f"{self._client.url} answers for {stated or 'an unknown assembly'}, the variants are {self.assembly}"
            )
        with self._lock:
            self._release = f"ensembl-rest {software.release} {self.assembly}"
            self._release_until_s = self._clock.monotonic_s() + RELEASE_AGE_S
            return self._release

    def annotate(self, lines: Iterable[bytes | str]) -> Iterator[dict[str, str]]:
        """One row for each ALT allele and feature of VCF lines, in their order; the keys are `FIELDS`.

        Header lines are passed over. A line or allele without an answer gives one row that has `problem`. Raises
        `RestUnavailable` when the server does not answer; what came before has been given out by then.
        """
        alleles = (one for line in lines for one in asked_of_line(line))
        while batch := list(islice(alleles, BATCH)):
            for answer in self.answers(batch):
                yield from answer.rows or (_row(answer.asked, source=answer.source, problem=answer.problem),)

    def answers(self, alleles: Sequence[Asked | Answer]) -> list[Answer]:
        """One answer for each allele, in their order; at most `BATCH` of them go into one call.

        What is an `Answer` already (a line that cannot be asked about) is passed through.
        """
        source = self.source()
        found: list[Answer | None] = []
        wanted: dict[tuple[str, str, int, str, str], list[int]] = {}
        for i, one in enumerate(alleles):
            if isinstance(one, Answer):
                found.append(replace(one, source=source))
                continue
            key = (source, *_trimmed(one))
            held = self._cached(key)
            found.append(_for(held, one) if held else None)
            if held is None:
                wanted.setdefault(key, []).append(i)
        keys = list(wanted)
        for begin in range(0, len(keys), BATCH):
            part = keys[begin : begin + BATCH]
            first = [alleles[wanted[key][0]] for key in part]
            for key, answer in zip(
                part, self._ask([one for one in first if isinstance(one, Asked)], source), strict=True
            ):
                if not answer.problem:
                    self._keep(key, answer)
                for i in wanted[key]:
                    one = alleles[i]
                    assert isinstance(one, Asked)
                    found[i] = _for(replace(answer, cached=i != wanted[key][0]), one)
        return [answer for answer in found if answer is not None]

    def hgvs(self, name: str) -> Answer:
        """What the server says about a variant that is named in HGVS (`ENST00000366667.6:c.803T>C`).

        Raises `UnknownName` with the server's words when it cannot read or place the name.
        """
        source = self.source()
        path = f"/vep/{self._species}/hgvs/{urllib.parse.quote(name, safe='')}?{_OPTIONS}"
        try:
            results = self._results("GET vep/:species/hgvs", path)
        except RestRefused as refusal:
            raise UnknownName(f"{source} cannot answer for this name: {refusal.said or refusal}") from refusal
        rows: list[dict[str, str]] = []
        for result in results:
            ref, _, alts = result.allele_string.partition("/")
            for number, alt in enumerate(alts.split("/"), 1):
                asked = Asked(result.seq_region_name, result.start, ref, alt, name, number)
                rows += rows_of(result, asked, source, alt)
        return Answer(Asked("", 0, "", "", name), source, tuple(rows), "" if rows else "the server gave no answer")

    def _ask(self, alleles: Sequence[Asked], source: str) -> list[Answer]:
        """Answers from the server. A call that it refuses is halved until the one allele is found that it means."""
        lines = [
            f"{ensembl_name(one.contig)} {one.position} v{i} {one.ref} {one.alt} . . ." for i, one in enumerate(alleles)
        ]
        path = f"/vep/{self._species}/region?{_OPTIONS}"
        try:
            results = self._results("POST vep/:species/region", path, {"variants": lines})
        except RestRefused as refusal:
            if refusal.status not in {400, 413}:
                raise
            if len(alleles) == 1:
                return [Answer(alleles[0], source, (), f"the server refused it: {refusal.said or refusal.status}")]
            middle = len(alleles) // 2
            return [*self._ask(alleles[:middle], source), *self._ask(alleles[middle:], source)]
        answered: dict[str, Result] = {}
        for result in results:
            answered.setdefault(result.id, result)
        if not answered.keys() <= {f"v{i}" for i in range(len(alleles))}:
            raise RestUnavailable(f"{self._client.url} answered about variants that were not asked for")
        found: list[Answer] = []
        for i, one in enumerate(alleles):
            result = answered.get(f"v{i}")
            if result is not None:
                found.append(Answer(one, source, tuple(rows_of(result, one, source))))
            elif len(alleles) > 1:  # in a batch the server leaves out what it cannot read; asked alone it says why
                found += self._ask([one], source)
            else:
                found.append(Answer(one, source, (), "the server gave no answer for it"))
        return found

    def _results(self, end_point: str, path: str, body: Any = None) -> list[Result]:
        return self._converted(end_point, self._client.call(end_point, path, body), list[Result])

    def _read(self, end_point: str, path: str, kind: type[Any]) -> Any:
        return self._converted(end_point, self._client.call(end_point, path), kind)

    def _converted(self, end_point: str, answer: Any, kind: Any) -> Any:
        try:
            return msgspec.convert(answer, kind, strict=False)  # a number as text is a number
        except msgspec.ValidationError as error:
            raise RestUnavailable(
                f"{end_point} of {self._client.url}: the answer has another shape ({error})"
            ) from error

    def _cached(self, key: tuple[str, str, int, str, str]) -> Answer | None:
        with self._lock:
            held = self._cache.get(key)
            if held is not None:
                self._cache.move_to_end(key)
        return replace(held, cached=True) if held else None

    def _keep(self, key: tuple[str, str, int, str, str], answer: Answer) -> None:
        with self._lock:
            self._cache[key] = answer
            while len(self._cache) > self._cache_answers:
                self._cache.popitem(last=False)


def asked_of_line(line: bytes | str) -> list[Asked | Answer]:
    """The alleles of a VCF line; an `Answer` with its problem for what cannot be asked about."""
    text = (line.decode("utf-8", "replace") if isinstance(line, bytes) else line).rstrip("\r\n").removeprefix("\ufeff")
    if not text or text.startswith("#"):
        return []
    row = text.split("\t")
    if len(row) < 5 or not (row[1].isdecimal() and row[1].isascii() and len(row[1]) < 11):
        return [Answer(Asked("", 0, "", ""), "", (), "the line is no VCF record")]
    contig, position, name, ref, alts = row[0], int(row[1]), row[2], row[3].upper(), row[4].upper()
    found: list[Asked | Answer] = []
    for number, alt in enumerate(alts.split(","), 1):
        one = Asked(contig, position, ref, alt, name, number)
        if not _SEQUENCE.issuperset(ref) or not _SEQUENCE.issuperset(alt) or not ref or not alt:
            found.append(Answer(one, "", (), "only alleles that are sequences are sent"))
        elif not ensembl_name(contig).replace("_", "").replace(".", "").isalnum():
            found.append(Answer(one, "", (), "this is no name of a contig"))
        else:
            found.append(one)
    return found


def ensembl_name(contig: str) -> str:
    """The name by which Ensembl knows a human chromosome: `1`, `X`, `MT`."""
    bare = contig.removeprefix("chr")
    if bare.startswith("NC_"):
        number, _, _ = bare[3:].partition(".")
        if number.isdecimal() and 1 <= int(number) <= 24:
            return {23: "X", 24: "Y"}.get(int(number), str(int(number)))
        return "MT" if number == "012920" else bare
    return "MT" if bare in {"M", "MT"} else bare


def rows_of(result: Result, asked: Asked, source: str, allele: str = "") -> list[dict[str, str]]:
    """The rows of one answer in the server's order: transcripts, regulatory features, motifs, or one intergenic row."""
    shared = _row(asked, source=source)
    shared["location"] = _location(result)
    shared |= _known(result.colocated_variants, allele or _vep_allele(asked))
    kinds = (
        ("Transcript", result.transcript_consequences),
        ("RegulatoryFeature", result.regulatory_feature_consequences),
        ("MotifFeature", result.motif_feature_consequences),
        (NOTHING, result.intergenic_consequences),
    )
    return [
        shared | _feature_fields(kind, one)
        for kind, features in kinds
        for one in features
        if not allele or one.variant_allele in {"", allele}
    ]


def _feature_fields(kind: str, one: Transcript) -> dict[str, str]:
    mane = "MANE_Select" if one.mane_select else "MANE_Plus_Clinical" if one.mane_plus_clinical else ""
    said: dict[str, object] = {
        "allele": one.variant_allele,
        "consequence": "&".join(one.consequence_terms),
        "impact": one.impact,
        "symbol": one.gene_symbol,
        "gene": one.gene_id,
        "feature_type": kind,
        "transcript": one.transcript_id or one.regulatory_feature_id or one.motif_feature_id,
        "biotype": one.biotype,
        "exon": one.exon,
        "intron": one.intron,
        "hgvsc": one.hgvsc,
        "hgvsp": one.hgvsp,
        "cdna_position": _span(one.cdna_start, one.cdna_end),
        "cds_position": _span(one.cds_start, one.cds_end),
        "protein_position": _span(one.protein_start, one.protein_end),
        "amino_acids": one.amino_acids,
        "codons": one.codons,
        "distance": one.distance,
        "strand": one.strand,
        "flags": "&".join(one.flags),
        "symbol_source": one.gene_symbol_source,
        "hgnc_id": one.hgnc_id,
        "canonical": "YES" if one.canonical else "",
        "mane": mane,
        "tsl": one.tsl,
        "appris": one.appris,
        "ccds": one.ccds,
        "ensp": one.protein_id,
    }
    return {name: NOTHING if value is None or value == "" else str(value) for name, value in said.items()}


def _known(colocated: Sequence[Colocated], allele: str) -> dict[str, str]:
    """Names, labels and frequencies of what is known at this place. Labels only of this very allele."""
    names = [one.id for one in colocated if one.id]
    labels: list[str] = []
    for one in colocated:
        by_allele = [part.partition(":") for part in (one.clin_sig_allele or "").split(";") if part]
        labels += [label for stated, _, label in by_allele if stated == allele]
    nowhere: dict[str, float] = {}
    stated = (one.frequencies for one in colocated if one.frequencies and allele in one.frequencies)
    frequencies = next((by_allele[allele] for by_allele in stated), nowhere)
    return {
        "existing_variation": "&".join(dict.fromkeys(names)) or NOTHING,
        "clinical_significance": "&".join(dict.fromkeys(labels)) or NOTHING,
        "gnomade_af": f"{frequencies['gnomade']:.6g}" if "gnomade" in frequencies else NOTHING,
        "gnomadg_af": f"{frequencies['gnomadg']:.6g}" if "gnomadg" in frequencies else NOTHING,
    }


def _row(asked: Asked, *, source: str, problem: str = "") -> dict[str, str]:
    row = dict.fromkeys(FIELDS, NOTHING)
    row |= {"id": asked.id if asked.id != "." else NOTHING, "contig": asked.contig or NOTHING}
    row |= {"pos": str(asked.position), "ref": asked.ref or NOTHING, "alt": asked.alt or NOTHING}
    return row | {"allele_num": str(asked.allele_num), "source": source, "problem": problem or NOTHING}


def _span(start: int | None, end: int | None) -> str:
    if start is None and end is None:
        return ""
    return str(start) if start == end else f"{'?' if start is None else start}-{'?' if end is None else end}"


def _location(result: Result) -> str:
    if not result.seq_region_name:
        return NOTHING
    low, high = sorted((result.start, result.end))  # an insertion has its end before its start
    return f"{result.seq_region_name}:{low}" + (f"-{high}" if high != low else "")


def _trimmed(one: Asked) -> tuple[str, int, str, str]:
    """The allele as VEP judges it: prefix and suffix off where lengths differ.

    It is not rolled along repeats: VEP judges an allele where it is written, so each place has an answer of its own.
    """
    position, ref, alt = one.position, one.ref, one.alt
    if len(ref) != len(alt):
        while ref and alt and ref[0] == alt[0]:
            position, ref, alt = position + 1, ref[1:], alt[1:]
        while ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
    return ensembl_name(one.contig), position, ref, alt


def _vep_allele(one: Asked) -> str:
    return _trimmed(one)[3] or "-"


def _for(answer: Answer, asked: Asked) -> Answer:
    """The same answer for somebody who wrote the allele another way."""
    own = {"id": asked.id if asked.id != "." else NOTHING, "contig": asked.contig, "pos": str(asked.position)}
    own |= {"ref": asked.ref, "alt": asked.alt, "allele_num": str(asked.allele_num)}
    return replace(answer, asked=asked, rows=tuple(row | own for row in answer.rows))
