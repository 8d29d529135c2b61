# Cython ships no types for its pure-Python words. The uncompiled stand-ins have the right ones; pointers and views
# appear in annotations only, which plain Python never evaluates.
from typing import Any

from genescale.interpreted import *  # noqa: F403

const: Any
pointer: Any
