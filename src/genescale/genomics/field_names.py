"""The names of fields as an error tells them: short enough to be read. Called where a name is not known."""

import difflib
from collections import Counter
from collections.abc import Iterable


def told(names: Iterable[str], wanted: str) -> str:
    """The names that `wanted` could have been: one's own fields each, those of a source of facts as `gnomad.* (24)`.

    Whoever asks for an unknown field of a source, such as `gnomad.?`, is told all fields of that source.
    """
    every, word = list(names), wanted.strip().lower()
    sources = Counter(name.partition(".")[0] for name in every if "." in name)
    asked = word.partition(".")[0]
    grouped = [f"{source}.* ({count})" for source, count in sources.items() if source != asked]
    if asked in sources:
        return ", ".join([*(name for name in every if name.startswith(f"{asked}.")), *grouped])
    near = difflib.get_close_matches(word, every, n=3)
    hint = f". Did you mean {' or '.join(near)}?" if near else ""
    if grouped and not near:
        first = next(iter(sources))
        hint = f". `{first}.?` lists those of {first}"
    return ", ".join([*(name for name in every if "." not in name), *grouped]) + hint
