"""``python -m emulator.cli``: the same as ``sink-emulator``."""

import sys

from emulator.cli import main

sys.exit(main())
