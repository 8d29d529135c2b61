"""`docs/reference/hgvs.md` lists every note and every error that reading a name can give."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "hgvs.md").read_text(encoding="utf-8")
MODULES = ("hgvs", "spdi", "resolve", "edits", "places", "transcripts", "back_translation")
SOURCES = "".join((ROOT / "src" / "genescale" / "genomics" / f"{name}.py").read_text() for name in MODULES)


@pytest.mark.parametrize("pattern", [r'Note\(\s*"([a-z_]+)"', r'code="([a-z_]+)"'])
def test_every_code_is_on_the_page(pattern: str) -> None:
    codes = set(re.findall(pattern, SOURCES))
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()
