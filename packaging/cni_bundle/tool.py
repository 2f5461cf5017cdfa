"""The first Python that cnitool's executable runs.

cnitool keeps PyInstaller's own bootstrap and archive: its libraries are many and may look for
files beside their modules, and it waits for a person, not for a runtime.
"""

from __future__ import annotations

import encodings
import os
import sys

from cni_bundle.boot import open_standard_streams
from cni_bundle.environment import restore_environment
from cnitool.main import main

if __name__ == "__main__":
    open_standard_streams()
    home: str = sys._MEIPASS  # type: ignore[attr-defined]
    restore_environment(os.environ, home)
    # The package comes from the small base library (see lean.take_base_modules), and looks only
    # there for its modules: for that of idna too, which TLS wants. This leads to the archive.
    encodings.__path__.append(os.path.join(home, "encodings"))
    sys.exit(main())
