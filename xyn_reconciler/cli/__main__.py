"""``python -m xyn_reconciler.cli`` is ``xynctl``."""

import sys

from xyn_reconciler.cli import main

sys.exit(main())
