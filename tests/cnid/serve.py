"""Starts the daemon from source. Arguments: the import path, joined by colons; then cnid's own."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1].split(":")

from cnid.main import main
from tests.cnid.plugins import PLUGINS

if __name__ == "__main__":
    sys.exit(main(PLUGINS, "test", sys.argv[2:]))
