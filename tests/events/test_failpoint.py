import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genescale.events import failpoint

SOURCE = Path(failpoint.__file__).parents[1]


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoint.arm(None)


def test_disarmed_points_do_nothing():
    failpoint.hit("before_append")
    failpoint.hit("no such name")


def test_a_hook_sees_every_passage():
    seen = []
    failpoint.arm(seen.append)
    failpoint.hit("mid_handling")
    failpoint.hit("before_append")
    assert seen == ["mid_handling", "before_append"]


def test_an_unknown_name_cannot_be_armed():
    with pytest.raises(ValueError, match="mid_handling"):
        failpoint.killer({"typo": 1})


@pytest.mark.parametrize("text", ["mid_handling=0", "mid_handling=x", "mid_handling=-1"])
def test_a_bad_count_is_refused(text):
    with pytest.raises(ValueError, match="NAME=N"):
        failpoint.parse(text)


def test_the_environment_kills_at_the_nth_passage():
    program = (
        "from genescale.events.failpoint import hit\n"
        "for n in range(1, 5):\n"
        "    print(n, flush=True)\n"
        "    hit('mid_handling')\n"
    )
    environment = {**os.environ, failpoint.ENVIRONMENT: "mid_handling=3"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["1", "2", "3"]


def test_the_code_passes_only_declared_names():
    passed = set()
    for path in SOURCE.rglob("*.py"):
        if path != Path(failpoint.__file__):
            passed |= set(re.findall(r"""(?:failpoint\.|\b)hit\(["'](\w+)["']\)""", path.read_text()))
    assert passed <= set(failpoint.NAMES)
