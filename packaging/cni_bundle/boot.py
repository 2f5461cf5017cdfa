"""The first Python that a plugin's executable runs: it finds the modules, then calls the door.

It is inside the program (see `embed.py`) and stands in for PyInstaller's own bootstrap (see
`pycni.spec`): all modules come from one file read once, instead of one archive lookup, read and
inflation for each. The launcher executes the program with its own path as argv[0]: that name,
`bridge`, `host-local`, ..., picks the plugin, and `cnid` the daemon, as does `dhcp daemon` that of
dhcp.
"""

# Everything imported here is compiled into the interpreter. Not even `from __future__ import
# annotations`: before the store is open there is no module of that name, hence the quotes below.
import gc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import CodeType, ModuleType
else:
    Loader = object

STORE = "modules.bin"


class StoredModules(Loader):
    """Finds and loads the bundle's modules from one file, whose index is read at the start.

    `lean.write_store` describes the file. Implements the finder and the loader of PEP 451.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        # Open for the process's life: an upgrade may remove the file meanwhile.
        self._store = os.open(f"{home}/{STORE}", os.O_RDONLY | os.O_CLOEXEC)
        index = os.read(self._store, int.from_bytes(os.read(self._store, 8), "little"))
        self._modules: dict[str, tuple[bool, int, int]]
        self._extensions: dict[str, str]
        self._modules, self._extensions = marshal.loads(index)  # noqa: S302 - our own file
        self._codes = 8 + len(index)

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,  # noqa: ARG002 - the protocol's
        target: "ModuleType | None" = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """PEP 451: the spec of a module of the bundle, None for any other."""
        found = self._modules.get(name)
        if found is not None:
            return ModuleSpec(name, self, is_package=found[0])
        extension = self._extensions.get(name)
        if extension is not None:
            where = f"{self._home}/{extension}"
            return ModuleSpec(name, ExtensionFileLoader(name, where), origin=where)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """PEP 451: nothing special."""

    def exec_module(self, module: "ModuleType") -> None:
        """PEP 451: run the module's code."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - this is what import is

    def get_code(self, name: str) -> "CodeType":
        """The code of a module of the bundle."""
        _, start, size = self._modules[name]
        code: CodeType = marshal.loads(  # noqa: S302 - our own file
            os.pread(self._store, size, self._codes + start)
        )
        return code


def open_standard_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that the caller left closed.

    Before anything else is opened: the next file or socket would get the number, and a result or
    an error be written into it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(fd, True)
    os.close(fd)
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115 - for good


def main() -> int:
    """Serve one call; returns the exit status."""
    open_standard_streams()
    home = os.path.dirname(sys.executable)
    # Before the finders of what is compiled in, which would look for each of our modules in vain.
    sys.meta_path.insert(0, StoredModules(home))
    from cni_bundle.plugins import DAEMON, DHCP_DAEMON, PLUGINS

    name = os.path.basename(sys.argv[0])
    if (name, *sys.argv[1:2]) == DHCP_DAEMON:
        from cni_dhcp.daemon.main import main as run_dhcp_daemon

        gc.enable()
        return run_dhcp_daemon(sys.argv[2:])
    if name in PLUGINS:
        from cni.bundle import Bundle
        from cni.skel import main as serve

        return serve(name, Bundle(PLUGINS, sys.argv[0]))
    if name == DAEMON:
        from cnid.main import main as run_daemon

        gc.enable()
        return run_daemon(PLUGINS, os.path.basename(home).rpartition("-")[2])
    sys.stderr.write(
        f"{sys.argv[0]}: no plugin of that name is in this bundle, only {', '.join(PLUGINS)}\n"
    )
    return 1


if __name__ == "__main__":
    gc.disable()  # one call allocates little, and then the process is gone
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody listens; the exit status still says it
        pass
    os._exit(status)  # taking the interpreter down in order costs 2 ms and frees what dies anyway
