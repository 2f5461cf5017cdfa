"""Give cnitool back the environment it was meant to have.

PyInstaller's bootloader points the dynamic loader into the bundle and leaves notes to itself in
the environment; what it executes (a plugin, a tool) must see none of it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

_NOTES = (
    "_PYI_APPLICATION_HOME_DIR",
    "_PYI_ARCHIVE_FILE",
    "_PYI_LINUX_PROCESS_NAME",
    "_PYI_PARENT_PROCESS_LEVEL",
)


def restore_environment(environ: MutableMapping[str, str], home: str) -> None:
    """Undo what the bootloader of the bundle in `home` did to `environ`.

    It put `home` first in LD_LIBRARY_PATH and kept the old value in LD_LIBRARY_PATH_ORIG. The old
    value is taken from what follows `home`: a variable LD_LIBRARY_PATH_ORIG may be the caller's
    own. The loader read the path at the start of the process, so the bundle's libraries are still
    found here.
    """
    for note in _NOTES:
        environ.pop(note, None)
    path = environ.get("LD_LIBRARY_PATH", "")
    if path == home:
        del environ["LD_LIBRARY_PATH"]
    elif path.startswith(f"{home}:"):
        environ["LD_LIBRARY_PATH"] = path[len(home) + 1 :]
        environ.pop("LD_LIBRARY_PATH_ORIG", None)
