"""`inspect` on a host with a thousand attachments: nobody waits for it."""

from __future__ import annotations

import ipaddress
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from cni.call import Attachment as AttachmentKey
from cni.call import owner
from cni_portmap import tables
from hostnet import masquerade
from hostnet.netfilter import Netfilter
from hostnet.nfowner import Owner
from tests.cnitool.attached import PLUGINS, Network
from tests.kit.host import Host

COUNT = 1000
SECONDS = 1.0
"""Of the processor, on whatever machine: on a quiet one it takes a fifth, and decoding all that is
not looked at takes as long again."""
ROOT = Path(__file__).parents[2]


def lay_down(network: Network) -> None:
    """Cache entries, reservations, masquerade and published ports, after the only real one's."""
    first = int(ipaddress.ip_address("10.1.0.2"))
    template = next(Path(network.cache.results).iterdir()).read_text()
    folder = network.data_dir / "net"
    with Netfilter.open() as nl:
        for number in range(1, COUNT):
            address, name = str(ipaddress.ip_address(first + number)), f"c{number}"
            entry = json.loads(template)
            entry["containerId"] = name
            entry["result"]["ips"][0]["address"] = f"{address}/16"
            (Path(network.cache.results) / f"net-{name}-eth0").write_text(json.dumps(entry))
            (folder / address).write_text(f"{name}\r\neth0")
            whose = owner("net", AttachmentKey(name, "eth0"))
            masquerade.add(nl, whose, [ipaddress.ip_interface(f"{address}/16")])
            port = tables.Published(4, 6, 10000 + number, None, ipaddress.ip_address(address), 80)
            tables.REGISTRY.give(nl, Owner(whose), [tables.pack(port)])


def test_inspect_is_quick(host: Host, tmp_path: Path) -> None:
    host.share_bridge("cni0")
    host.share("nft *", "sysctl *", "file *")
    plugins = [dict(each) for each in PLUGINS[:2]]
    plugins[0]["ipam"] = {"type": "host-local", "subnet": "10.1.0.0/16"}
    network = Network(tmp_path, host, plugins)
    one = host.container("one")
    network.add("c0", one, 10000)
    lay_down(network)
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *(ROOT / "plugins").iterdir()))),
        "NETCONFPATH": str(network.directory),
        "CNI_PATH": str(network.runtime.path),
    }
    for what in ("c777", "10777", "10.1.3.11"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "cnitool", "inspect", what),
                *("--json", "--cache-dir", network.cache.directory),
            ],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)
        assert (found["containerID"], found["ports"][0]["hostPort"]) == ("c777", 10777)
        assert found["addresses"] == ["10.1.3.11/16"]
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert used < SECONDS, what
    for path in (network.data_dir / "net").glob("10.*"):
        if path.name != "10.1.0.2":
            path.unlink()  # or the index of all of them stays
    network.delete("c0", one)
    host.command("ip", "link", "delete", "cni0")
