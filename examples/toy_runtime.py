"""A container runtime in forty lines: run a command in a network namespace of its own.

python examples/toy_runtime.py mynet ip address
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import libcni


def main() -> int:
    """Attach a new namespace to the network, run the command in it, detach it."""
    name, *command = sys.argv[1:]
    container = f"toy-{uuid.uuid4().hex[:8]}"
    attachment = libcni.Attachment(container, netns=f"/run/netns/{container}", ifname="eth0")
    runtime = libcni.Runtime(
        os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"),
        cache_dir=os.environ.get("TOY_CACHE", "/var/lib/cni"),
    )
    network = libcni.load_network(os.environ.get("NETCONFPATH", "/etc/cni/net.d"), name)
    subprocess.run(["ip", "netns", "add", container], check=True)
    try:
        result = runtime.add(network, attachment)
        print(f"{container} has", *(str(ip.address) for ip in result.ips), file=sys.stderr)
        return subprocess.run(["ip", "netns", "exec", container, *command], check=False).returncode
    finally:
        runtime.delete(network, attachment)
        subprocess.run(["ip", "netns", "delete", container], check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except libcni.CniError as error:
        sys.exit(f"error {error.code}: {error}")
