"""Short plain sentences about each variant: what it is, what it does, what is known; and the counts of the answer.

Every sentence is put together from facts that stand beside it in the same answer. Nothing is said that is not there.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from genescale.worker.score import frequency_of
from genescale.worker.task import Task

LIMITS: Final = "For research use. A clinician must review this before anybody acts on it."

_DOES: Final[Mapping[str, str]] = {
    "transcript_ablation": "removes the whole transcript",
    "splice_acceptor_variant": "changes the end of an intron, where splicing joins the exons",
    "splice_donor_variant": "changes the beginning of an intron, where splicing joins the exons",
    "stop_gained": "makes a stop codon, so that the protein ends early",
    "frameshift_variant": "shifts the reading frame, so that the protein is another one from there on",
    "stop_lost": "changes the stop codon, so that the protein goes on",
    "start_lost": "changes the start codon, so that the protein may not be made",
    "inframe_insertion": "adds amino acids to the protein",
    "inframe_deletion": "takes amino acids out of the protein",
    "missense_variant": "changes one amino acid of the protein",
    "protein_altering_variant": "changes the protein",
    "splice_region_variant": "lies close to a splice site",
    "incomplete_terminal_codon_variant": "changes the last, incomplete codon of the transcript",
    "start_retained_variant": "changes the start codon to another start codon",
    "stop_retained_variant": "changes the stop codon to another stop codon",
    "synonymous_variant": "changes a codon, but not the amino acid",
    "5_prime_UTR_variant": "lies before the coding part of the transcript",
    "3_prime_UTR_variant": "lies behind the coding part of the transcript",
    "non_coding_transcript_exon_variant": "lies in an exon of an RNA that makes no protein",
    "intron_variant": "lies in an intron",
    "upstream_gene_variant": "lies before the gene",
    "downstream_gene_variant": "lies behind the gene",
    "intergenic_variant": "lies in no gene of this reference",
}
_RNAS: Final[Mapping[str, str]] = {"Mt_tRNA": "a mitochondrial tRNA", "Mt_rRNA": "a mitochondrial rRNA"}


def explain_all(task: Task) -> float:
    """Add `explanation` to each annotation, and the counts to the task. Returns the units of work."""
    for one in task.annotations:
        one["explanation"] = sentences(one)
    task.summary = {**task.summary, **counted(task)}
    return len(task.annotations)


def sentences(annotation: Mapping[str, Any]) -> list[str]:
    """What it is, what it does, what is known."""
    said = [f"{annotation['variant'].get('hgvsg') or _place(annotation)} {_kind(annotation['variant'])}."]
    picked = next((one for one in annotation["consequences"] if one.get("pick")), None)
    if picked is not None and "transcript" in picked:
        said.append(_effect(picked))
    elif annotation.get("most_severe"):
        said.append("It lies in no gene of this reference.")
    known = annotation["known"]
    said += _clinical(known)
    frequency = frequency_of(known)
    if frequency is not None:
        said.append(_seen(*frequency))
    if not known:
        said.append("The sources of this reference do not know it; that says nothing about harm.")
    return said


def _place(annotation: Mapping[str, Any]) -> str:
    variant = annotation["variant"]
    return f"The variant at {variant['contig']}:{variant['position']}"


def _kind(variant: Mapping[str, Any]) -> str:
    ref, alt = len(variant["ref"]), len(variant["alt"])
    if ref == alt:
        return "replaces one base" if ref == 1 else f"replaces {ref} bases"
    if variant["alt"].startswith("<") or "[" in variant["alt"] or "]" in variant["alt"]:
        return "is a structural variant"
    change = abs(ref - alt)
    bases = "one base" if change == 1 else f"{change} bases"
    return f"takes {bases} out" if ref > alt else f"adds {bases}"


def _effect(picked: Mapping[str, Any]) -> str:
    term = picked["terms"][0] if picked["terms"] else ""
    does = _DOES.get(term, f"is a {term.replace('_', ' ')}")
    if term == "missense_variant" and "-" in str(picked.get("protein_position", "")):
        does = "changes some amino acids of the protein"
    gene = picked.get("gene") or picked["transcript"]
    rna = _RNAS.get(picked["biotype"])
    name = picked.get("hgvsp") or picked.get("hgvsc")
    shown = f" ({name})" if name else ""
    return f"In {gene}{f', {rna},' if rna else ''} it {does}{shown}."


def _clinical(known: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    clinvar = known.get("clinvar")
    if clinvar and "significance" in clinvar:
        conditions = str(clinvar.get("conditions", "")).split(";")
        named = "; ".join(one for one in conditions[:3] if one)
        more = f" and {len(conditions) - 3} more" if len(conditions) > 3 else ""
        said.append(f"ClinVar calls it {clinvar['significance']}{f': {named}{more}' if named else ''}.")
    mitomap = known.get("mitomap")
    if mitomap and "disease" in mitomap:
        said.append(f"MITOMAP lists it with {mitomap['disease']}.")
    return said


def _seen(source: str, share: float, column: str) -> str:
    if share <= 0:
        return f"{source} lists it, {'homoplasmic in nobody' if column == 'af_hom' else 'and saw it in nobody'}."
    among = "people, homoplasmic" if column == "af_hom" else "copies of the chromosome"
    return f"{source} has it in about {_one_in(share)} {among}."


def _one_in(share: float) -> str:
    if share >= 0.01:
        return f"{share * 100:.3g} of 100"
    return f"1 of {round(1 / share):,}"


def counted(task: Task) -> dict[str, Any]:
    """What a list of analyses shows of this one, and all there is of an answer too large to carry."""
    annotations = task.annotations
    priorities = [one["assessment"]["priority"] for one in annotations]
    summary: dict[str, Any] = {"variants": len(annotations), "limits": LIMITS}
    if annotations:
        top = annotations[priorities.index(max(priorities))]
        summary["priority"] = max(priorities)
        summary["first_to_look_at"] = top["variant"].get("hgvsg") or _place(top)
        summary["impacts"] = dict(sorted(Counter(one.get("impact", "MODIFIER") for one in annotations).items()))
        rows = (row for one in annotations for row in one["consequences"])
        genes = {row["gene"] for row in rows if row.get("gene") and "distance" not in row}
        summary["genes"] = len(genes)
        if len(genes) <= 10:
            summary["gene_names"] = sorted(genes)
    if task.sequences:
        summary["sequences"] = len(task.sequences)
    summary["problems"] = sum(one.severity == "error" for one in task.problems) + task.untold
    return summary
