"""The stages of an analysis, in one place: parse, resolve (or align), annotate, score, explain.

A stage is a plain function over all requests of a batch. It returns how much of its work each request caused, in units
of its own; by these the processor time of the batch is shared out. A new stage is one more line in `STAGES`. Bad input
never raises here: it becomes a problem of its request, with its place, and the others go on.
"""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from genescale.errors import InvalidInput
from genescale.genomics.align import Answer, Placement
from genescale.genomics.dna import read_dna
from genescale.genomics.resident import Resident
from genescale.genomics.resolve import Resolved, resolve
from genescale.genomics.variants import SNV, Row, variants_of_record
from genescale.worker import synthesise, uploaded
from genescale.worker.deps import ReferenceSet, WorkerDeps
from genescale.worker.explain import explain_all
from genescale.worker.score import score_all
from genescale.worker.task import Named, Site, Task, code_of

Stage: TypeAlias = Callable[[Sequence[Task], WorkerDeps], list[float]]

_HUMAN: Final = frozenset({"homo_sapiens", "human"})
_SHOWN: Final = 200  # letters of a variant's name that come back with its answer


# ---- parse ----


def parse(tasks: Sequence[Task], deps: WorkerDeps) -> list[float]:
    """What is asked, and of which references. Units: letters."""
    return [_parse(task, deps) for task in tasks]


def _parse(task: Task, deps: WorkerDeps) -> float:
    request = task.request
    if task.over:
        return 1.0
    if request.species.lower() not in _HUMAN and request.assembly is None:
        task.refuse("NO_REFERENCE", "the usual references are human; name another one in `assembly`")
        return 1.0
    try:
        task.references = deps.references.set_of(request.assembly)
    except InvalidInput as error:
        task.refuse("NO_REFERENCE", "no reference here has the name or assembly asked for", str(error))
        return 1.0
    try:
        return _parse_input(task, deps)
    except InvalidInput as error:
        task.refuse(code_of(error), "the input cannot be read", str(error))
        return 1.0


def _parse_input(task: Task, deps: WorkerDeps) -> float:
    request = task.request
    if request.variants is not None:
        task.names = [Named(text, f"variant {n}") for n, text in enumerate(request.variants, 1)]
        return 50.0 * len(task.names)
    if request.sequence is not None:
        task.dna = read_dna(request.sequence)
        return len(request.sequence)
    if request.generate is not None:
        synthesise.make(task, request.generate)
        return request.generate.size
    assert task.input is not None, "the handler fetched it"
    uploaded.parse(task, task.input, deps.limits)
    return len(task.input)


# ---- resolve: names and sequences become places ----


def find_places(tasks: Sequence[Task], deps: WorkerDeps) -> list[float]:  # noqa: ARG001 - stages look alike
    """Names are resolved, sequences aligned. Units: processor time, which is measured for each request here."""
    units: list[float] = []
    before = time.thread_time_ns()
    for task in tasks:
        if not task.over:
            _find_places(task)
        after = time.thread_time_ns()
        units.append(after - before)
        before = after
    return units


def _find_places(task: Task) -> None:
    references = task.references
    assert references is not None
    for named in task.names:
        site = _plain_site(references, named) if len(named.text) < _PLAIN_MAX else None
        if site is not None:
            task.sites.append(site)
        else:
            _resolve(task, references, named)
    for record in task.records:
        told = {"input": record.text}
        task.sites.append(Site(record.resident, record.row, record.ref, record.alt, told, record.place))
    for number, dna in enumerate(task.dna, 1):
        try:
            answer = references.place(dna)
        except InvalidInput as error:
            task.wrong(error, place=f"sequence {number}")
        else:
            _align(task, number, answer)


# The usual single letters, read without the grammar of HGVS. What is not exactly so goes to `resolve`, which also
# finds the words for what is wrong; a test holds both against each other.
_PLAIN_MAX: Final = 40
_BASES: Final = frozenset("ACGT")
_PLAIN: Final = re.compile(r"(?:([A-Za-z0-9_.]+):([gm])\.|(m)\.)([1-9][0-9]{0,8})([ACGT])>([ACGT])")
_PLAIN_VCF: Final = re.compile(r"((?:chr)?[0-9A-Z]{1,2})([-:])([1-9][0-9]{0,8})\2([ACGT])\2([ACGT])")


def _plain_site(references: ReferenceSet, named: Named) -> Site | None:
    text = named.text
    matched = _PLAIN_VCF.fullmatch(text)
    if matched is not None:
        contig, _, position, ref, alt = matched.groups()
        kind, bare = "", False
    else:
        matched = _PLAIN.fullmatch(text)
        if matched is None:
            return None
        contig, kind, bare, position, ref, alt = matched.groups()
        contig = contig or "MT"
    found = references.contig(contig)
    if found is None or ref == alt:
        return None
    resident, index = found
    described = resident.bundle.contigs[index]
    if kind or bare:
        mitochondrial = described.circular and described.codon_table == 2
        if mitochondrial != (kind != "g"):
            return None
    place = int(position)
    if resident.base(index, place) != ref:
        return None
    site = Site(resident, _snv(index, place, ref, alt), ref, alt, {"input": text}, named.place)
    if bare:
        site.notes.append(_bare_note(text, described.name, resident.name))
    return site


def _snv(contig: int, position: int, ref: str, alt: str) -> Row:
    """What `variants_of_record` makes of one base for another, without its questions."""
    return Row(0, 1, contig, position, position, position, SNV, SNV, 0, ref, alt, 0)


def _rows(contig: int, position: int, ref: str, alt: str, info: dict[str, str] | None = None) -> list[Row]:
    if ref in _BASES and alt in _BASES and ref != alt:
        return [_snv(contig, position, ref, alt)]
    return variants_of_record(contig, position, ref, (alt,), info)


def _bare_note(text: str, contig: str, reference: str) -> dict[str, str]:
    return {
        "code": "accession_assumed",
        "text": f"{text} names no sequence; {contig} of {reference} was used",
    }


def _resolve(task: Task, references: ReferenceSet, named: Named) -> None:
    """Ask each reference until one knows the name. When none does, the one that came nearest says why."""
    failure: InvalidInput | None = None
    for resident in references:
        try:
            found = resolve(resident.bundle, named.text)
        except InvalidInput as error:
            if failure is None or _nearness(error) > _nearness(failure):
                failure = error
            continue
        _add_resolved(task, resident, found, named)
        return
    assert failure is not None, "there is at least one reference"
    task.wrong(failure, place=named.place)


def _nearness(error: InvalidInput) -> int:
    """How far a reference came: it did not know the name at all, has no bases there, or disagrees."""
    return {"unknown_name": 0, "unknown_form": 0, "vrs_not_known": 0, "outside_reference": 1}.get(error.code, 2)


def _add_resolved(task: Task, resident: Resident, found: Resolved, named: Named) -> None:
    if not found.variants:
        task.answered += 1
        task.problem("NO_CHANGE", place=named.place, warning=True)
        return
    shown = found.text if len(found.text) <= _SHOWN else f"{found.text[:_SHOWN]}..."
    notes = [{"code": note.code, "text": note.text} for note in found.notes]
    for variant in found.variants:
        told: dict[str, Any] = {"input": shown}
        if found.transcript:
            told["asked_transcript"] = found.transcript
        if found.ambiguous:
            told["ambiguous"] = True
        for row in _rows(variant.contig, variant.pos, variant.ref, variant.alt, dict(variant.info)):
            task.sites.append(Site(resident, row, variant.ref, variant.alt, told, named.place, notes))


# ---- sequences ----

_ANSWERED: Final = frozenset({"placed", "partial", "ambiguous"})


def _align(task: Task, number: int, answer: Answer) -> None:
    references = task.references
    assert references is not None
    place = f"sequence {number}"
    task.sequences.append(_told_sequence(answer))
    if answer.outcome in _ANSWERED:
        task.answered += 1
        if answer.outcome != "placed":
            task.problem(f"SEQUENCE_{answer.outcome.upper()}", answer.reason, place=place, warning=True)
    else:
        task.problem(f"SEQUENCE_{answer.outcome.upper()}", answer.reason, place=place)
    for placement in answer.placements:
        resident = references.of(placement.reference)
        for call in placement.variants:
            contig = resident.bundle.contig(call.contig)
            told: dict[str, Any] = {"input": place, "query_start": call.query_start, "query_end": call.query_end}
            if call.candidate:
                told["candidate"] = True
            for row in _rows(contig, call.position, call.ref, call.alt):
                task.sites.append(Site(resident, row, call.ref, call.alt, told, place))


def _told_sequence(answer: Answer) -> dict[str, Any]:
    """Where a sequence lies, without its letters."""
    told: dict[str, Any] = {"name": answer.name[:_SHOWN], "length": answer.length, "outcome": answer.outcome}
    if answer.reason:
        told["reason"] = answer.reason
    if answer.placements:
        told["placements"] = [_told_placement(one) for one in answer.placements]
    if answer.unexplained:
        told["unexplained"] = answer.unexplained
    if answer.best_partial is not None:
        one = answer.best_partial
        told["best_partial"] = {
            "reference": one.reference,
            "contig": one.contig,
            "start": one.start,
            "end": one.end,
            "strand": one.strand,
            "identity": round(one.identity, 5),
        }
    told["searched"] = answer.references
    if answer.uracil:
        told["uracil"] = answer.uracil
    return told


def _told_placement(one: Placement) -> dict[str, Any]:
    told: dict[str, Any] = {
        "reference": one.reference,
        "contig": one.contig,
        "start": one.start,
        "end": one.end,
        "strand": one.strand,
        "query_start": one.query_start,
        "query_end": one.query_end,
        "identity": round(one.identity, 5),
        "matches": one.matches,
        "mismatches": one.mismatches,
        "gaps": one.gaps,
        "variants": len(one.variants),
    }
    if one.uncalled:
        reasons = [difference.reason for difference in one.uncalled]
        told["uncalled"] = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    if one.alternatives:
        told["alternatives"] = [
            {"reference": other.reference, "contig": other.contig, "start": other.start, "end": other.end}
            for other in one.alternatives[:10]
        ]
    return told


# ---- annotate ----


def annotate(tasks: Sequence[Task], deps: WorkerDeps) -> list[float]:  # noqa: ARG001
    """Every variant of every request through the kernels, in one call for each reference. Units: rows of the answer."""
    units = [1.0] * len(tasks)
    gathered: dict[int, tuple[Resident, list[tuple[int, Site]]]] = {}
    for number, task in enumerate(tasks):
        for site in task.sites:
            gathered.setdefault(id(site.resident), (site.resident, []))[1].append((number, site))
    for resident, sites in gathered.values():
        described = resident.describe([site.row for _, site in sites])
        for (number, site), answer in zip(sites, described, strict=True):
            if isinstance(answer, str):
                tasks[number].problem(answer.upper(), place=site.place)
                site.told = {}
                continue
            variant = answer["variant"]
            variant["position"], variant["ref"], variant["alt"] = site.row.position, site.ref, site.alt
            site.told = {**site.told, **answer}  # a new one: several variants of a name share how they were asked for
            units[number] += 2 + len(answer["consequences"])
    for task in tasks:
        task.annotations = [_with_notes(site) for site in task.sites if site.told]
        task.answered += len(task.annotations)
    return units


def _with_notes(site: Site) -> dict[str, Any]:
    if site.notes:
        site.told["notes"] = site.notes
    return site.told


# ---- score, explain ----


def score(tasks: Sequence[Task], deps: WorkerDeps) -> list[float]:  # noqa: ARG001
    """The rule-based baseline. Units: variants."""
    return [score_all(task.annotations) for task in tasks]


def explain(tasks: Sequence[Task], deps: WorkerDeps) -> list[float]:  # noqa: ARG001
    """Sentences, and the counts over the whole answer. Units: variants."""
    return [explain_all(task) for task in tasks]


STAGES: Final[tuple[tuple[str, Stage], ...]] = (
    ("parse", parse),
    ("resolve", find_places),
    ("annotate", annotate),
    ("score", score),
    ("explain", explain),
)
