"""The tutorials say what really happens: each command is run, and its answer compared with the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/tutorial/first-variants.md",)  # first-start.md has a running platform, and a test of its own


def steps(page: str) -> list[tuple[str, str]]:
    """Each command of the page's console blocks with the answer that stands below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = step.partition("\n")
            found.append((command, answer))
    return found


def matches(answer: str, expected: str) -> bool:
    """Equal but for what `...` leaves open, within a line."""
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, answer) is not None


@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_shows_what_happens(page: str, tmp_path: Path):
    there = steps((ROOT / page).read_text())
    assert len(there) > 5
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GENESCALE_DATA_DIRECTORY": str(tmp_path / "data"),
        "COLUMNS": "200",
    }
    for command, expected in there:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert matches(done.stdout, expected), f"$ {command}\n{done.stdout}\nthe page says:\n{expected}"
        assert done.returncode == 0, command


def test_a_page_with_another_answer_is_noticed():
    assert matches("3 rows in 0.15 s\n", "3 rows in ...\n")
    assert not matches("4 rows in 0.15 s\n", "3 rows in ...\n")
    assert not matches("3 rows in 0.15 s\nand more\n", "3 rows in ...\n")
