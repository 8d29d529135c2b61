"""Where reference bundles are kept, and which one is meant when nobody says: a folder of them, and the embedded ones.

The folder is `references` in the data directory. A bundle is one folder in it, by name; the file `default` holds the
name that `use` chose. Embedded bundles lie in the package and are always there.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genescale.errors import BundleDamaged, GenescaleError, InvalidInput, UnknownName, Unsupported
from genescale.genomics.bundle import LIST_FILE, Bundle, content_digest, file_digest, read_listing

EMBEDDED_FOLDER: Final = Path(__file__).parent / "embedded"
FIRST_DEFAULT: Final = "mitochondrion"  # embedded: there is always something to work with
DEFAULT_FILE: Final = "default"
_UNFINISHED: Final = re.compile(r"\.(?:arriving|leaving)-(\d{1,9})$")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Held:
    """One bundle as a list shows it. `problem` says why it cannot be opened; the rest is empty then."""

    name: str
    path: Path
    embedded: bool
    default: bool
    assembly: str = ""
    kind: str = ""
    digest: str = ""
    contigs: int = 0
    transcripts: int = 0
    genes: int = 0
    size_bytes: int = 0
    problem: str = ""


class References:
    """The bundles of one data directory together with the embedded ones. `folder` need not exist yet."""

    def __init__(self, folder: str | Path, embedded: str | Path = EMBEDDED_FOLDER) -> None:
        self.folder = Path(folder)
        self.embedded = Path(embedded)

    def names(self) -> list[str]:
        """The bundles there are, embedded ones first."""
        built_in = sorted(path.parent.name for path in self.embedded.glob(f"*/{LIST_FILE}"))
        own = sorted(path.parent.name for path in self.folder.glob(f"*/{LIST_FILE}") if path.parent.name[0] != ".")
        return list(dict.fromkeys([*built_in, *own]))

    def path(self, name: str | None = None) -> Path:
        """The folder of the bundle `name`, of the default one without a name. A bundle of one's own wins.

        Raises `UnknownName` with the names that there are.
        """
        chosen = self.default() if name is None else name
        if _NAME.fullmatch(chosen):
            for home in (self.folder, self.embedded):
                if (home / chosen / LIST_FILE).is_file():
                    return home / chosen
            if (self.embedded / f"{chosen}.compact").is_file():
                raise UnknownName(
                    f"the embedded reference {chosen} was not compiled when this package was built; "
                    f"compile it now: genescale reference build --name {chosen} --embedded"
                )
        raise UnknownName(
            f"there is no reference {chosen!r}; there are: {', '.join(self.names()) or 'none'}. "
            "`genescale reference build` makes one"
        )

    def open(self, name: str | None = None) -> Bundle:
        """Open the bundle `name`, or the default one. The folder keeps what is derived of it."""
        return Bundle.open(self.path(name), derived=self.folder)

    def default(self) -> str:
        """The name of the bundle that is meant when nobody names one."""
        try:
            return (self.folder / DEFAULT_FILE).read_text().strip() or FIRST_DEFAULT
        except FileNotFoundError:
            return FIRST_DEFAULT

    def use(self, name: str) -> Held:
        """Make `name` the default from now on."""
        held = self.held(name)
        if held.problem:
            raise BundleDamaged(held.problem)
        self.folder.mkdir(parents=True, exist_ok=True)
        arriving = self.folder / f".{DEFAULT_FILE}.arriving"
        arriving.write_text(name + "\n")
        arriving.replace(self.folder / DEFAULT_FILE)
        return self.held(name)

    def held(self, name: str) -> Held:
        """What a list says about the bundle `name`."""
        path = self.path(name)
        embedded, default = path.parent == self.embedded, name == self.default()
        try:
            listing = read_listing(path)
        except (BundleDamaged, Unsupported) as error:
            return Held(name, path, embedded, default, problem=str(error))
        arrays = listing["arrays"]
        return Held(
            name,
            path,
            embedded,
            default,
            listing["assembly"],
            listing["kind"],
            listing["digest"],
            len(listing["contigs"]),
            arrays["transcript_start"]["length"],
            arrays["gene_start"]["length"],
            sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        )

    def list(self) -> "list[Held]":
        """Every bundle."""
        return [self.held(name) for name in self.names()]

    def new_path(self, name: str, *, replace: bool = False, embedded: bool = False) -> Path:
        """Where a new bundle of this name goes. Raises `InvalidInput` where the name cannot be had."""
        if _NAME.fullmatch(name) is None:
            raise InvalidInput(
                f"{name!r} is no name for a reference: letters, digits, '.', '_' and '-', the first a letter or digit",
                code="bad_name",
            )
        if not embedded and (self.embedded / f"{name}.compact").is_file():
            raise InvalidInput(f"{name} is an embedded reference; choose another name", code="bad_name")
        if (self.folder / name).exists() and not replace:
            raise InvalidInput(
                f"there is a reference {name} already; choose another name, or build with --replace", code="exists"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        return self.folder / name

    def _sweep(self) -> None:
        """Remove what builds left behind that were killed: their process is gone, their folder is not."""
        for path in self.folder.glob(".*-*"):
            process = _UNFINISHED.search(path.name)
            if process is not None and not _alive(int(process[1])):
                shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def verify(path: str | Path, progress: Callable[[str], None] | None = None) -> Iterator[str]:
    """Read a bundle whole and compare it with its own list; one sentence for each thing that is wrong.

    Nothing comes for a bundle that is what it says.
    """
    folder = Path(path)
    try:
        listing = read_listing(folder)
    except GenescaleError as error:
        yield str(error)
        return
    arrays = listing["arrays"]
    for name, entry in arrays.items():
        if progress is not None:
            progress(name)
        file = folder / f"{name}.npy"
        if not file.is_file():
            yield f"{file.name} is missing"
        elif file_digest(file) != entry["sha256"]:
            yield f"{file.name} is not the file that was built: its SHA-256 differs"
    if content_digest(listing) != listing["digest"]:
        yield f"{LIST_FILE} was changed: its digest is not that of what it lists"
    for file in sorted(folder.glob("*.npy")):
        if file.stem not in arrays:
            yield f"{file.name} is not on the list"
