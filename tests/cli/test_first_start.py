"""The tutorial of the first start, executed block by block."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genescale import __version__
from support.require import require
from support.up import DEADLINE_S, environment, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-start.md"


def blocks():
    """(command, expected output) of every console block."""
    text = PAGE.read_text()
    return [
        (block.partition("\n")[0].removeprefix("$ "), block.partition("\n")[2].strip())
        for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    ]


def matches(expected, said):
    """`...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.search(pattern, said, flags=re.DOTALL)


@pytest.mark.slow
def test_every_step_does_what_the_page_says(start_up, tmp_path):
    for tool in ("curl", "pgrep"):
        require(tool, shutil.which(tool), f"apt-get install {'procps' if tool == 'pgrep' else tool}")
    (first_command, first_line), *others = blocks()
    assert shlex.split(first_command) == ["uv", "run", "genescale", "up", "--data", "first-start"]
    up = start_up(tmp_path / "first-start")  # on a free port, otherwise as the page says
    address = re.search(r"http://[0-9.:]+", first_line)[0]
    up.wait_until_it_answers()
    assert matches(first_line, f"Genescale {__version__} is at {address}   data in x   Ctrl-C stops it")
    before = up.running("keeper")
    for command, expected in others:
        ours = command.replace(address, up.url).replace("uv run genescale", f"{sys.executable} -m genescale")
        # Only this platform's keeper, whatever else runs on the machine.
        ours = ours.replace("pgrep -f", f"pgrep -P {up.process.pid} -f")
        done = subprocess.run(
            ["/bin/sh", "-c", ours],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert matches(expected, done.stdout + done.stderr), (command, done)
    assert wait_for(lambda: (role := up.running("keeper"))["pid"] != before["pid"] and role)["restarts"] == 1
    assert up.stop(signal.SIGINT) == 0
