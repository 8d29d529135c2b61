"""The rule-based baseline: how soon somebody should look at a variant, by published labels and by what it does.

It is a rule and no model: nothing was trained, and nothing is predicted. Each answer names the rule that decided, in
the order in which the rules are asked. It stands in the field `assessment` and says `rule-based baseline`, so that a
model that arrives later is never mistaken for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

METHOD: Final = "rule-based baseline"
_OF: Final = 5

# ClinVar's classes, as the bundles spell them, and how soon to look: 5 is first.
_CLINVAR: Final[Mapping[str, int]] = {
    "pathogenic": 5,
    "pathogenic_or_likely": 5,
    "likely_pathogenic": 4,
    "conflicting": 3,
    "uncertain": 3,
    "risk": 3,
    "likely_benign": 1,
    "benign_or_likely": 1,
    "benign": 1,
}
_IMPACT: Final[Mapping[str, int]] = {"HIGH": 4, "MODERATE": 3, "LOW": 2, "MODIFIER": 1}
_COMMON: Final = 0.05  # the share of a population from which ACMG/AMP 2015 takes a variant alone as benign (BA1)
_FREQUENCIES: Final = (("gnomad", "af_hom"), ("gnomad_genomes", "af"), ("gnomad_exomes", "af"), ("gnomad", "af"))


def score_all(annotations: Sequence[dict[str, Any]]) -> float:
    """Add `assessment` to each annotation. Returns the units of work."""
    for one in annotations:
        one["assessment"] = assess(one)
    return len(annotations)


def assess(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """The priority of one variant, 1 to 5, and the rule that gave it."""
    known: Mapping[str, Any] = annotation["known"]
    clinvar = known.get("clinvar")
    word = clinvar.get("significance_class") if clinvar else None
    if word in _CLINVAR:
        return _assessed(_CLINVAR[word], f"ClinVar: {clinvar['significance']}" if clinvar else "")
    frequency = frequency_of(known)
    if frequency is not None and frequency[1] >= _COMMON:
        return _assessed(1, f"common: {frequency[1]:.3g} in {frequency[0]}")
    term = annotation.get("most_severe")
    if term is None:
        return _assessed(1, "near no transcript of the reference")
    return _assessed(_IMPACT[annotation["impact"]], f"{annotation['impact']} impact: {term}")


def frequency_of(known: Mapping[str, Any]) -> tuple[str, float, str] | None:
    """Who says how often the variant was seen, the share, and the column that says so."""
    for source, column in _FREQUENCIES:
        said = known.get(source)
        if said is not None and column in said:
            return source, said[column], column
    return None


def _assessed(priority: int, because: str) -> dict[str, Any]:
    return {"method": METHOD, "priority": priority, "of": _OF, "because": because}
