"""Keep the exact version of every package, transitive ones too, in pyproject.toml.

    python .ci/pins.py             pin what is not pinned yet, drop what nobody needs any more
    python .ci/pins.py --upgrade   forget all pins first, so that everything moves to the newest allowed version
    python .ci/pins.py --check     change nothing; exit 1 when the pins do not cover exactly what is needed

uv would keep such versions in uv.lock, but that file also records which registry they came from, and that is nobody's
business but the reader's machine. So the lock is made in a temporary folder and only names and versions are kept.
"""

import difflib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
BEGIN = "# pins: begin (python .ci/pins.py writes what stands between the marks)\n"
END = "# pins: end\n"
ANCHOR = "[tool.uv]\n"  # a project without marks gets them at the top of this table


def main() -> int:
    """Do what the one argument says."""
    argument = sys.argv[1] if len(sys.argv) > 1 else ""
    if argument not in {"", "--check", "--upgrade"}:
        print(__doc__)
        return 2
    before = PROJECT.read_text()
    base = replaced(before, "") if argument == "--upgrade" else before
    try:
        after = replaced(before, pins_block(base))
    except subprocess.CalledProcessError as error:
        print(f"{error.stderr}\n`{' '.join(error.cmd)}` failed.")
        print("If a new floor contradicts an old pin: python .ci/pins.py --upgrade")
        return 1
    if argument == "--check":
        if after == before:
            print("pins: exact")
            return 0
        print(*difflib.unified_diff(before.splitlines(), after.splitlines(), "pyproject.toml", "needed"), sep="\n")
        print("The pins do not cover exactly what is needed: python .ci/pins.py")
        return 1
    PROJECT.write_text(after)
    print("pins: unchanged" if after == before else "pins: rewritten in pyproject.toml")
    return 0


def pins_block(project: str) -> str:
    """The two lists for this pyproject.toml. Pins that it holds already are kept: they constrain the resolution."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(project)
        parsed = tomllib.loads(project)
        run(["uv", "lock", "--quiet"], folder)
        export = ["uv", "export", "--frozen", "--quiet", "--all-extras", "--all-groups", "--no-emit-project"]
        dependencies = run([*export, "--no-hashes", "--no-header", "--no-annotate"], folder)
        Path(folder, "build.in").write_text("\n".join(parsed["build-system"]["requires"]))
        kept = parsed["tool"]["uv"].get("build-constraint-dependencies", [])
        Path(folder, "kept.txt").write_text("\n".join(kept))
        compile_build = ["uv", "pip", "compile", "build.in", "-c", "kept.txt", "--universal", "--quiet"]
        floor = ["--python-version", parsed["project"]["requires-python"].removeprefix(">=")]
        build = run([*compile_build, *floor, "--no-header", "--no-annotate"], folder)
    lists = {"build-constraint-dependencies": pins(build), "constraint-dependencies": pins(dependencies)}
    return "".join(toml_list(name, found) for name, found in lists.items())


def toml_list(name: str, items: list[str]) -> str:
    """One item per line, so that a change shows as one line."""
    lines = "".join(f'  "{item}",\n' for item in items)
    return f"{name} = [\n{lines}]\n"


def pins(requirements: str) -> list[str]:
    """`name==version`, with its condition only where two versions of one package live side by side."""
    versions: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in requirements.splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)(?: *; *(.+))?", line)
        if found:
            name, version, condition = found.groups()
            versions[name][version] = condition
    return [
        f"{name}=={version} ; {condition}" if len(found) > 1 and condition else f"{name}=={version}"
        for name, found in sorted(versions.items())
        for version, condition in sorted(found.items())
    ]


def replaced(project: str, block: str) -> str:
    """The same file with this text between the marks."""
    if BEGIN not in project:
        return project.replace(ANCHOR, f"{ANCHOR}{BEGIN}{block}{END}", 1)
    head, _, rest = project.partition(BEGIN)
    return f"{head}{BEGIN}{block}{END}{rest.partition(END)[2]}"


def run(command: list[str], folder: str) -> str:
    """Its standard output; raises CalledProcessError with its standard error."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
