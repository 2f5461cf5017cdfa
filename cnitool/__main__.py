"""`python -m cnitool`."""

import sys

from cnitool.main import main

sys.exit(main())
