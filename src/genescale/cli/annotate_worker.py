"""A worker of `genescale annotate --processes N`: blocks of lines in at one end, annotated lines out at the other.

Run as `python -m genescale.cli.annotate_worker`. The first line on its standard input says which bundle and which
options; then come blocks, each behind its length and the number of its first line. Every answer is two lengths, the
text and the tally. Nothing is pickled.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from genescale.errors import GenescaleError, InvalidInput
from genescale.genomics.annotate import Annotator, Options, Tally
from genescale.genomics.bundle import Bundle

_QUESTION = struct.Struct("<qq")  # length of the block, number of its first line
_ANSWER = struct.Struct("<qq")  # length of the text (-1: an error follows), length of the JSON behind it


class Worker:
    """One worker process, seen from its employer. For one thread at a time."""

    def __init__(self, bundle: Path, options: Options, strip: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name if __spec__ else __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        job = {"bundle": str(bundle), "options": asdict(options), "strip": strip}
        self._send(json.dumps(job).encode() + b"\n")

    def ask(self, block: bytes, line: int) -> tuple[bytes, Tally]:
        """The output for one block. Raises what the worker raised."""
        self._send(_QUESTION.pack(len(block), line) + block)
        answer = self._out.read(_ANSWER.size)
        if len(answer) < _ANSWER.size:
            raise InvalidInput(f"a worker ended with status {self._process.wait()}; its own message stands above")
        text_length, facts_length = _ANSWER.unpack(answer)
        text = self._out.read(max(text_length, 0))
        facts: dict[str, Any] = json.loads(self._out.read(facts_length))
        if text_length < 0:
            raise InvalidInput(facts["message"], code=facts["code"], place=facts["place"])
        return text, Tally.from_dict(facts)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._process.kill()
        self._out.close()
        self._process.wait()

    @property
    def _out(self) -> Any:
        return self._process.stdout

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise InvalidInput("a worker ended before its work; its own message stands above") from error


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the input ends."""
    job = json.loads(source.readline())
    options = job["options"] | {"fields": tuple(job["options"]["fields"])}
    with Bundle.open(job["bundle"]) as bundle:
        annotator = Annotator(bundle, Options(**options), strip=job["strip"])
        while head := source.read(_QUESTION.size):
            length, line = _QUESTION.unpack(head)
            target.write(_answer(annotator, source.read(length), line))
            target.flush()


def _answer(annotator: Annotator, block: bytes, line: int) -> bytes:
    try:
        text = b"".join(bytes(piece) for piece in annotator.block(block, line))
    except GenescaleError as error:
        said = error.args[0]
        place, code = getattr(error, "place", ""), getattr(error, "code", "invalid_input")
        facts = json.dumps({"message": said.removeprefix(f"{place}: "), "code": code, "place": place}).encode()
        return _ANSWER.pack(-1, len(facts)) + facts
    facts = json.dumps(annotator.tally().as_dict()).encode()
    return b"".join([_ANSWER.pack(len(text), len(facts)), text, facts])


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
