"""Stands in for the cold executable: the plugins of the source tree, as a process of their own.

Arguments: the import path, joined by colons; the launcher's path, which is its argv[0]. Each run is
a line in `cold.log` beside the launcher.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1].split(":")

from cni.bundle import Bundle
from cni.skel import main
from tests.cnid.plugins import PLUGINS

if __name__ == "__main__":
    path = sys.argv[2]
    with open(f"{os.path.dirname(path)}/cold.log", "a") as log:
        log.write(f"{os.path.basename(path)} {os.environ.get('CNI_COMMAND', '')}\n")
    os.environ.pop("LC_CTYPE", None)  # which Python sets where no locale is
    sys.exit(main(os.path.basename(path), Bundle(PLUGINS, path)))
