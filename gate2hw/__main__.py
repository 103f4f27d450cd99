"""`python -m gate2hw` is the `gate2hw` command."""

import sys

from gate2hw.cli import main

sys.exit(main())
