"""What reaches a user: the two commands on a clone, the sdist, the wheel made from it, and the size of the pages."""

import gzip
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.require import require

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/genescale/static"
KB = 1000


def uv(tree: Path, *arguments: str) -> str:
    command = ["uv", *arguments, "--python", sys.executable]
    done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def gzipped_kb(path: Path) -> float:
    return len(gzip.compress(path.read_bytes(), 9)) / KB


@pytest.mark.slow
def test_one_command_on_a_clone_builds_pages_and_kernels(tree: Path):
    question = "import genescale.events.kernel as kernel; print(kernel.COMPILED, kernel.__file__)"

    compiled, where = uv(tree, "run", "python", "-c", question).split()

    assert compiled == "True"
    assert Path(where).is_relative_to(tree)
    assert (tree / "src/genescale/static/index.html").exists()
    assert (tree / "src/genescale/genomics/embedded/mitochondrion/bundle.json").exists()


@pytest.mark.slow
def test_the_sdist_holds_the_pages_and_a_wheel_made_from_it_too(tree: Path, tmp_path: Path):
    uv(tree, "build", "--quiet", "--sdist", "--out-dir", str(tmp_path))
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert "src/genescale/static/index.html" in names
    assert not [name for name in names if name.endswith(".so") or name.startswith("web/")]

    uv(tmp_path, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(sdist))
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "genescale/static/index.html" in names
    assert any(re.fullmatch(r"genescale/events/kernel\..*\.so", name) for name in names)
    assert any(re.fullmatch(r"genescale/genomics/kernels/consequence\..*\.so", name) for name in names)
    assert "genescale/genomics/embedded/clinical-panel/bundle.json" in names
    assert not wheel.name.endswith("none-any.whl")  # machine code belongs to one kind of machine


def test_the_npm_lock_names_no_registry():
    assert '"resolved": "http' not in (ROOT / "web/package-lock.json").read_text()
    assert "omit-lockfile-registry-resolved=true" in (ROOT / "web/.npmrc").read_text().splitlines()


def test_the_first_page_stays_small():
    require("src/genescale/static", (STATIC / "index.html").exists(), "uv sync --reinstall-package genescale")
    page = (STATIC / "index.html").read_text()
    first = {STATIC / name for name in re.findall(r'(?:src|href)="/(assets/[^"]+)"', page)}
    scripts = {path for path in first if path.suffix == ".js"}
    styles = {path for path in first if path.suffix == ".css"}

    assert scripts
    assert styles
    assert sum(map(gzipped_kb, scripts)) <= 90
    assert sum(map(gzipped_kb, styles)) <= 20
    for later in set((STATIC / "assets").glob("*.js")) - scripts:
        assert gzipped_kb(later) <= 40, later.name


def test_the_page_has_no_inline_code_and_no_foreign_address():
    require("src/genescale/static", (STATIC / "index.html").exists(), "uv sync --reinstall-package genescale")
    page = (STATIC / "index.html").read_text()

    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    for path in [STATIC / "index.html", *(STATIC / "assets").glob("*.css")]:
        assert not re.search(r"https?://|url\((?!/assets/)", path.read_text()), path.name
