"""`python -m genescale`: the same as the command `genescale`, for processes that must run this very installation."""

import sys

from genescale.cli.main import main

sys.exit(main())
