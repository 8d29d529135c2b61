"""An analysis as one HTML page to read and to print: evidence, versions, limits.

The page has no script, asks for nothing from outside and carries its own policy, so that a saved copy is as safe as the
served one. Every text of the result is escaped.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from genescale.gateway.export_analysis import LIMITS, RESEARCH_USE, UNKNOWN, Analysis, Finding, mappings, text

DETAILED: Final = 200  # findings told in full; a longer answer is for TSV and VCF
_TRANSCRIPTS: Final = 12  # of one finding

_STYLE: Final = """
:root{color-scheme:light;--ink:#12242a;--soft:#4a616a;--line:#cfdbdf;--wash:#f3f7f8;--accent:#0b5c6b;--bad:#a3202b}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 3rem;background:#fff;color:var(--ink);
font:15px/1.5 "Inter","Segoe UI",system-ui,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:0}
h2{font-size:1.15rem;margin:2.25rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:0;overflow-wrap:anywhere}
h4{font-size:.8125rem;margin:1rem 0 .25rem;color:var(--soft);font-weight:600}
p,ul{margin:.35rem 0}
ul{padding-left:1.2rem}
.kind{margin:0 0 .25rem;color:var(--soft)}
.use{margin:1.25rem 0;padding:.75rem 1rem;border:1px solid var(--bad);border-left-width:6px;color:var(--bad);
font-weight:600}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.2rem 1.25rem;margin:.5rem 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.8125rem}
caption{text-align:left;color:var(--soft);padding-bottom:.3rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);
overflow-wrap:break-word}
th{color:var(--soft);font-weight:600}
.name,td.name{font-family:ui-monospace,"SF Mono","Cascadia Mono","Liberation Mono",Menlo,monospace;
overflow-wrap:anywhere}
td.name{min-width:8rem}
article{margin:1rem 0;padding:1rem;border:1px solid var(--line);border-radius:.5rem}
article dl{font-size:.875rem}
.head{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:baseline;justify-content:space-between}
.rank{white-space:nowrap;color:var(--accent);font-weight:600}
.soft{color:var(--soft)}
a{color:var(--accent)}
footer{margin-top:2.5rem;padding-top:.75rem;border-top:1px solid var(--line);color:var(--soft);font-size:.8125rem;
overflow-wrap:anywhere}
@media (max-width:40rem){
body{padding:1.25rem 1rem 2rem}
dl{grid-template-columns:minmax(6rem,32%) 1fr;gap:.2rem .75rem}
article{padding:.75rem}
.stack caption,.stack,.stack tbody,.stack tr,.stack td{display:block}
.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.stack tr{padding:.4rem 0;border-bottom:1px solid var(--line)}
.stack td{border:0;padding:.1rem 0}
.stack td:empty{display:none}
.stack td[data-of]::before{content:attr(data-of) ": ";color:var(--soft);font-family:"Liberation Sans",Arial,sans-serif}
}
@page{size:A4;margin:18mm 16mm 20mm;@bottom-left{content:"Research use only; clinician review required";
font:8pt "Liberation Sans",Arial,sans-serif;color:#4a616a}
@bottom-right{content:counter(page) " / " counter(pages);font:8pt "Liberation Sans",Arial,sans-serif;color:#4a616a}}
@media print{
body{max-width:none;padding:0;font-size:10pt}
h2,h3,h4,.head,caption{break-after:avoid}
tr,.use{break-inside:avoid}
article{border-radius:0;box-decoration-break:clone;-webkit-box-decoration-break:clone}
p,dd{orphans:3;widows:3}
article dl{font-size:9pt}
thead{display:table-header-group}
.scroll{overflow:visible}
a{color:inherit;text-decoration:none}
}
"""
STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
# For the answer's header; a page cannot state the last part itself.
CONTENT_SECURITY_POLICY: Final = f"{_POLICY}; frame-ancestors 'none'; sandbox"

_SENTENCES: Final[Mapping[str, str]] = {
    "success": "Everything that was asked was answered.",
    "partial": "A part of what was asked could not be answered; see Problems.",
    "failed": "Nothing could be answered; see Problems.",
    "cancelled": "The analysis was cancelled before it ended.",
}
_NAMES: Final[Mapping[str, str]] = {
    "clinvar": "ClinVar",
    "gnomad": "gnomAD",
    "gnomad_genomes": "gnomAD genomes",
    "gnomad_exomes": "gnomAD exomes",
    "mitomap": "MITOMAP",
    "hmtvar": "HmtVar",
    "hmtvar_other_gene": "HmtVar, overlapping gene",
}
_COLUMNS: Final[Mapping[str, str]] = {
    "id": "Number there",
    "rs": "dbSNP number",
    "pubmed": "PubMed",
    "an": "Counted",
    "ac": "Seen",
    "af": "Share",
    "ac_hom": "Seen homoplasmic",
    "ac_het": "Seen heteroplasmic",
    "af_hom": "Share homoplasmic",
    "af_het": "Share heteroplasmic",
    "max_heteroplasmy": "Highest heteroplasmy",
    "trna_stem_loop": "Stem or loop of the tRNA",
}
_UNTOLD: Final = frozenset({"significance_class"})  # the same as `significance`, spelt for programs


def to_html(analysis: Analysis) -> bytes:
    """The page, in UTF-8."""
    findings = sorted(analysis.findings(), key=lambda one: (-one.priority, one.number))
    parts = [
        _beginning(analysis),
        _request(analysis),
        _overview(findings),
        *_details(analysis, findings),
        *_sequences(analysis),
        *_problems(analysis),
        _limits(),
        _versions(analysis),
        _end(analysis),
    ]
    return "\n".join(parts).encode("utf-8", "replace")


# ---- the page around it ----


def _beginning(analysis: Analysis) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_e(f"Variant report {analysis.analysis_id}")}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<p class="kind">Genescale</p>
<h1>Variant report</h1>
<p class="use">Research use only. Clinician review required before anybody acts on this.</p>
</header>
<main>"""


def _request(analysis: Analysis) -> str:
    result = analysis.result
    facts = {
        "Analysis": analysis.analysis_id,
        "Result": analysis.result_id,
        "Revision": analysis.revision,
        "Project": analysis.project,
        "Asked": analysis.requested or UNKNOWN,
        "Answered": analysis.answered or UNKNOWN,
        "Species": analysis.species or UNKNOWN,
        "Assembly asked for": analysis.assembly or "none; the usual references were used",
        "Description": analysis.description,
        "Status": f"{result.status}. {_SENTENCES[result.status]}",
        "Variants": len(result.annotations),
        "Signed off": "no",
    }
    return f"<section>\n<h2>Analysis</h2>\n{_facts(facts)}\n</section>"


def _limits() -> str:
    items = "\n".join(f"<li>{_e(one)}</li>" for one in (RESEARCH_USE, *LIMITS))
    return f"<section>\n<h2>Limits</h2>\n<ul>\n{items}\n</ul>\n</section>"


def _versions(analysis: Analysis) -> str:
    versions = dict(analysis.result.versions)
    names = versions.pop("bundle", "").split("+")
    digests = versions.pop("bundle_digest", "").split("+")
    rows = [(name.replace("_", " ").capitalize(), value) for name, value in versions.items() if " in " not in name]
    if len(names) == len(digests):
        rows += [(f"Reference {name}", f"digest {digest}") for name, digest in zip(names, digests, strict=True) if name]
    rows += [(_source_of(name), value) for name, value in versions.items() if " in " in name]
    if not rows:
        return f"<section>\n<h2>Versions</h2>\n<p>{UNKNOWN}</p>\n</section>"
    return f"<section>\n<h2>Versions</h2>\n{_facts(dict(rows))}\n</section>"


def _source_of(name: str) -> str:
    source, _, reference = name.partition(" in ")
    return f"{_NAMES.get(source, source)} in {reference}"


def _end(analysis: Analysis) -> str:
    spent = analysis.result.measured.cpu_s
    cost = f" Processor time {spent:.3g} s." if spent is not None else ""
    return f"""</main>
<footer>
<p>{_e(RESEARCH_USE)} Analysis {_e(analysis.analysis_id)}.{cost}</p>
</footer>
</body>
</html>
"""


# ---- findings ----


def _overview(findings: list[Finding]) -> str:
    if not findings:
        return "<section>\n<h2>Findings</h2>\n<p>There is no variant in this answer.</p>\n</section>"
    rows = "\n".join(_overview_row(one) for one in findings[:DETAILED])
    more = len(findings) - DETAILED
    rest = f"<p>{more:,} more variants of lower priority are not shown; the TSV and VCF exports have them all.</p>"
    return f"""<section>
<h2>Findings</h2>
<table class="stack">
<caption>The order to look at them, by the rule-based baseline. It is no classification.</caption>
<thead><tr><th scope="col">Priority</th><th scope="col">Variant</th><th scope="col">Gene</th>
<th scope="col">Effect</th><th scope="col">ClinVar</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{rest if more > 0 else ""}
</section>"""


def _overview_row(finding: Finding) -> str:
    genes = ", ".join(dict.fromkeys(filter(None, (text(one.get("gene")) for one in finding.consequences))))
    cells = (
        ("Priority", "", _rank(finding)),
        ("Variant", "name", finding.name),
        ("Gene", "", genes),
        ("Effect", "", _term(text(finding.annotation.get("most_severe")))),
        ("ClinVar", "", text(finding.known.get("clinvar", {}).get("significance")).replace(";", "; ")),
    )
    return "<tr>" + "".join(_cell(*cell) for cell in cells) + "</tr>"


def _details(analysis: Analysis, findings: list[Finding]) -> Iterator[str]:
    if findings:
        yield "<section>\n<h2>Evidence</h2>"
        for finding in findings[:DETAILED]:
            yield _finding(analysis, finding)
        yield "</section>"


def _finding(analysis: Analysis, finding: Finding) -> str:
    rank = f'<span class="rank">{_e(_rank(finding))}</span>' if finding.priority else ""
    facts = {
        "Origin": finding.origin,
        "Place": f"{finding.contig or UNKNOWN}:{UNKNOWN if finding.position is None else finding.position}",
        "Change": f"{_bases(finding.ref)} > {_bases(finding.alt)}",
        "Assembly": analysis.known_assembly(finding) or UNKNOWN,
        "Reference": finding.reference or UNKNOWN,
        "dbSNP": ", ".join(finding.dbsnp),
        "SPDI": finding.variant.get("spdi"),
        "VRS": finding.variant.get("vrs_id"),
        "Why this priority": finding.assessment.get("because"),
        "Method": finding.assessment.get("method"),
    }
    sentences = "".join(f"<p>{_e(one)}</p>" for one in finding.explanation)
    notes = "".join(f"<li>{_e(text(one.get('text')))}</li>" for one in finding.notes)
    return f"""<article>
<div class="head"><h3 class="name">{_e(finding.name)}</h3>{rank}</div>
{sentences}
{f"<h4>Assumed</h4><ul>{notes}</ul>" if notes else ""}
{_facts(facts)}
{_consequences(finding)}
{_known(finding)}
</article>"""


def _rank(finding: Finding) -> str:
    if not finding.priority:
        return ""
    of = text(finding.assessment.get("of"))
    return f"{finding.priority} of {of}" if of else str(finding.priority)


def _consequences(finding: Finding) -> str:
    rows = [one for one in finding.consequences if one.get("transcript")]
    rows.sort(key=lambda one: not one.get("pick"))
    if not rows:
        return "<h4>Effect on transcripts</h4>\n<p>No transcript of the reference is near.</p>"
    body = "\n".join(_consequence_row(one) for one in rows[:_TRANSCRIPTS])
    more = len(rows) - _TRANSCRIPTS
    return f"""<h4>Effect on transcripts</h4>
<table class="stack">
<thead><tr><th scope="col">Transcript</th><th scope="col">Gene</th><th scope="col">Effect</th>
<th scope="col">Impact</th><th scope="col">HGVS</th><th scope="col">Exon or intron</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
{f'<p class="soft">{more} more transcripts are in the other exports.</p>' if more > 0 else ""}"""


def _consequence_row(row: Mapping[str, Any]) -> str:
    exon, intron = text(row.get("exon")), text(row.get("intron"))
    place = " ".join(filter(None, (exon and f"exon {exon}", intron and f"intron {intron}")))
    names = " ".join(filter(None, (text(row.get("hgvsc")), text(row.get("hgvsp")))))
    cells = (
        ("Transcript", "name", text(row.get("transcript"))),
        ("Gene", "", text(row.get("gene"))),
        ("Effect", "", ", ".join(_term(text(term)) for term in row.get("terms", ()))),
        ("Impact", "", text(row.get("impact"))),
        ("HGVS", "name", names),
        ("Place", "", place),
    )
    return "<tr>" + "".join(_cell(*cell) for cell in cells) + "</tr>"


def _known(finding: Finding) -> str:
    if not finding.known:
        return "<h4>What is known</h4>\n<p>No source of the reference lists it. That says nothing about harm.</p>"
    parts: list[str] = []
    for source, said in finding.known.items():
        shown = {_label(name): text(value).replace(";", "; ") for name, value in said.items() if name not in _UNTOLD}
        title = f"{_NAMES.get(source, source)}: {finding.source_version(source)}"
        parts.append(f"<h4>{_e(title)}</h4>\n{_facts(shown)}")
    return "\n".join(parts)


# ---- sequences, problems ----


def _sequences(analysis: Analysis) -> Iterator[str]:
    sequences = analysis.result.sequences
    if not sequences:
        return
    yield "<section>\n<h2>Sequences</h2>"
    for one in sequences[:DETAILED]:
        facts: dict[str, Any] = {
            "Length": one.get("length"),
            "Outcome": one.get("outcome"),
            "Reason": one.get("reason"),
            "Searched": one.get("searched"),
        }
        for number, place in enumerate(mappings(one.get("placements"))[:_TRANSCRIPTS], 1):
            facts[f"Placement {number}"] = _placement(place)
        yield f'<article>\n<h3 class="name">{_e(text(one.get("name")) or "unnamed")}</h3>\n{_facts(facts)}\n</article>'
    if len(sequences) > DETAILED:
        yield f"<p>{len(sequences) - DETAILED:,} more sequences are in the JSON export.</p>"
    yield "</section>"


def _placement(place: Mapping[str, Any]) -> str:
    span = f"{text(place.get('contig'))}:{text(place.get('start'))}-{text(place.get('end'))}"
    numbers = ", ".join(
        f"{name} {text(place[name])}"
        for name in ("strand", "identity", "mismatches", "gaps", "variants")
        if name in place
    )
    return f"{text(place.get('reference'))} {span}; {numbers}"


def _problems(analysis: Analysis) -> Iterator[str]:
    if not analysis.result.errors:
        return
    yield '<section>\n<h2>Problems</h2>\n<table class="stack">'
    yield '<thead><tr><th scope="col">Where</th><th scope="col">Code</th><th scope="col">What</th></tr></thead>'
    yield "<tbody>"
    for one in analysis.result.errors:
        said = f"{one.message} {one.detail}" if one.detail else one.message
        cells = (("Where", "", one.place or "the analysis"), ("Code", "name", one.code), ("What", "", said))
        yield "<tr>" + "".join(_cell(*cell) for cell in cells) + "</tr>"
    yield "</tbody>\n</table>\n</section>"


# ---- small parts ----


def _facts(facts: Mapping[str, Any]) -> str:
    rows = [(name, text(value)) for name, value in facts.items()]
    listed = "\n".join(f"<dt>{_e(name)}</dt><dd>{_e(value)}</dd>" for name, value in rows if value)
    return f"<dl>\n{listed}\n</dl>" if listed else ""


def _cell(title: str, kind: str, value: str) -> str:
    return f'<td data-of="{title}"{f" class={kind!r}" if kind else ""}>{_e(value)}</td>' if value else "<td></td>"


def _label(column: str) -> str:
    return _COLUMNS.get(column, column.replace("_", " ").capitalize())


def _term(term: str) -> str:
    return term.removesuffix("_variant").replace("_", " ")


def _bases(allele: str) -> str:
    return allele if len(allele) <= 60 else f"{allele[:20]}...{allele[-20:]} ({len(allele):,} bases)"


def _e(value: str | Iterable[str]) -> str:
    """A text for HTML. What HTML forbids even as a reference becomes the sign for an unreadable letter."""
    said = value if isinstance(value, str) else " ".join(value)
    return escape(said.translate(_FORBIDDEN))


_FORBIDDEN: Final = dict.fromkeys(
    (*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0xD800, 0xE000)), "\ufffd"
)
