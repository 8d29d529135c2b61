"""GA4GH VRS 2.0 computed identifiers: the same change has the same identifier everywhere, whoever computes it.

An identifier is a digest of the fully justified allele, which names the sequence by its own digest (`SQ.`). So it takes
a bundle whose contigs have one, which every bundle of whole sequences has. The specification: https://vrs.ga4gh.org/,
version 2.0, "Computed Identifiers" and "Allele Normalization".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from genescale.genomics.bundle import Bundle
from genescale.genomics.names import justified_spdi
from genescale.genomics.normalise import Form
from genescale.genomics.variants import Variants


def sha512t24u(data: bytes) -> str:
    """GA4GH's digest: the first 24 bytes of SHA-512, as 32 letters that are safe in a URL."""
    return base64.urlsafe_b64encode(hashlib.sha512(data).digest()[:24]).decode("ascii")


def sequence_id(bases: bytes) -> str:
    """The identifier of a sequence of upper-case bases, as refget has it (`SQ.` and a digest)."""
    return f"SQ.{sha512t24u(bases)}"


def allele_id(refget: str, form: Form) -> str:
    """The identifier of one allele in fully justified form, on the sequence `refget` (`SQ....`)."""
    return _identifiers([(refget, form.start, form.end, _state(form.ref, form.alt))])[0]


def vrs_ids(bundle: Bundle, variants: Variants) -> list[str]:
    """The identifiers of a batch, row by row.

    Empty for structural rows and ambiguous bases, where REF is not the reference, and on a contig without digest.
    """
    spdi = justified_spdi(bundle, variants)
    refgets = [contig.refget for contig in bundle.contigs]
    named: list[int] = []
    parts: list[tuple[str, int, int, str]] = []
    contigs: list[int] = variants.contig[: variants.count].tolist()
    for row, (text, contig) in enumerate(zip(spdi.texts(), contigs, strict=True)):
        refget = refgets[contig] if text else None
        if refget:
            _, begin, ref, alt = text.rsplit(":", 3)
            start = int(begin)
            named.append(row)
            parts.append((refget, start, start + len(ref), _state(ref, alt)))
    out = [""] * variants.count
    for row, identifier in zip(named, _identifiers(parts), strict=True):
        out[row] = identifier
    return out


def _state(ref: str, alt: str) -> str:
    """The state of an allele as canonical JSON.

    A deletion, and an insertion that repeats bases which are there, is stated by lengths alone; its digest leaves the
    bases out. All else is stated by its bases.
    """
    gain = len(alt) - len(ref)
    if gain and (ref.startswith(alt) if gain < 0 else len(ref) >= gain and alt.startswith(ref)):
        return f'{{"length":{len(alt)},"repeatSubunitLength":{abs(gain)},"type":"ReferenceLengthExpression"}}'
    return f'{{"sequence":"{alt}","type":"LiteralSequenceExpression"}}'


def _identifiers(parts: list[tuple[str, int, int, str]]) -> list[str]:
    """One base64 call for all locations and one for all alleles: encoding one by one costs more than hashing."""
    locations = _digests(
        f'{{"end":{end},"sequenceReference":{{"refgetAccession":"{refget}","type":"SequenceReference"}},'
        f'"start":{start},"type":"SequenceLocation"}}'
        for refget, start, end, _ in parts
    )
    alleles = _digests(
        f'{{"location":"{location}","state":{state},"type":"Allele"}}'
        for location, (_, _, _, state) in zip(locations, parts, strict=True)
    )
    return [f"ga4gh:VA.{digest}" for digest in alleles]


def _digests(texts: Iterable[str]) -> list[str]:
    sha512 = hashlib.sha512
    joined = b"".join(sha512(text.encode("ascii")).digest()[:24] for text in texts)
    letters = base64.urlsafe_b64encode(joined).decode("ascii")
    return [letters[i : i + 32] for i in range(0, len(letters), 32)]
