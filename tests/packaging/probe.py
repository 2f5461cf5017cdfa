"""Serve one plugin call in this interpreter and list on stderr what it imported.

Run in a fresh isolated interpreter: `probe.py PLUGIN EXECUTABLE SOURCE_ROOT...`, with the call in
the environment and on stdin. Prints a line `imported MODULE by IMPORTER` for each module that was
loaded from a file, in order. It imports nothing itself that could hide an import of the plugin's.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


class _Watch:
    """A finder that finds nothing and remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        self.asked.setdefault(name, str(frame.f_globals.get("__name__")) if frame else "?")


def main() -> int:
    name, executable, *roots = sys.argv[1:]
    sys.path[:0] = roots
    watch = _Watch()
    sys.meta_path.insert(0, watch)
    from cni.bundle import Bundle
    from cni.skel import main as serve
    from cni_bundle.plugins import PLUGINS

    status = serve(name, Bundle(PLUGINS, executable))
    sys.meta_path.remove(watch)
    for module, importer in watch.asked.items():
        spec = getattr(sys.modules.get(module), "__spec__", None)
        if spec is not None and spec.origin not in ("built-in", "frozen"):
            sys.stderr.write(f"imported {module} by {importer}\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
