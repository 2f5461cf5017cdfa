"""The first process of a `Machine`: makes its directories private and lives until stdin closes.

Run as `python -m tests.clients.init PLUGINS` in new mount and PID namespaces. With it goes every
process in there, and with them every mount.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.kit.namespace import MS_BIND, mount

PRIVATE = tuple(map(Path, ("/run", "/dev/shm", "/opt/cni", "/etc/cni", "/var/lib/cni")))
"""Where container runtimes keep things whatever their options say."""


def main(plugins: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans come here, and nobody waits for them
    for directory in PRIVATE:
        mount("none", directory, "tmpfs")
    for made in ("/opt/cni/bin", "/etc/cni/net.d", "/run/netns"):
        Path(made).mkdir(parents=True)
    mount(plugins, Path("/opt/cni/bin"), "none", MS_BIND)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
