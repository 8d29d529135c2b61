"""`docs/reference/annotate-fields.md`, made from the fields themselves. A test compares.

Run `python -m genescale.cli.annotate_fields > docs/reference/annotate-fields.md` after a change of a field.
"""

import sys

from genescale.genomics.render import CSQ_FIELDS, FIELDS, JSON_ROW, JSON_VARIANT, TSV_FIELDS

_HEAD = """\
# Fields of annotate

<!-- Generated: python -m genescale.cli.annotate_fields > docs/reference/annotate-fields.md -->

`genescale annotate --fields a,b,c` chooses what a row holds, in this order, in any format but ANN. A field goes by its
name or by its name in CSQ, in any case. TSV and JSON use the name, VCF that of CSQ. Known facts of the reference are
fields too: [add ClinVar, frequencies and scores](../how-to/add-clinvar-frequencies-and-scores.md).

Text in CSQ and ANN is escaped as VEP does it: `;` becomes `%3B`, `=` becomes `%3D`, `,` and `|` become `&`, white space
becomes `_`. Several terms are joined by `&` in VCF, by a comma in TSV, and are a list in JSON. Nothing is an empty text
in VCF, `-` in TSV, and left out in JSON.

The rows of a variant come in the order of the transcripts' names, and for one transcript in that of the alleles, as in
VEP's output; with ANN the most severe come first.

`C` stands for the usual fields of CSQ, `T` for those of TSV, `J` for those of JSON. Without `--vep-strict`, CSQ also
has `canonical`, `mane`, `vep_consequence` and `exception`, and TSV the last two.

"""


def page() -> str:
    """The whole page."""
    lines = ["| name | in CSQ | usual in | meaning |", "| --- | --- | --- | --- |"]
    for field in FIELDS.values():
        usual = [
            letter
            for letter, names in (("C", CSQ_FIELDS), ("T", TSV_FIELDS), ("J", (*JSON_VARIANT, *JSON_ROW)))
            if field.name in names
        ]
        lines.append(f"| `{field.name}` | `{field.csq}` | {' '.join(usual)} | {field.meaning} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
