"""Fill a host with other containers' allocations, masquerading and mappings, for the growth cases.

10,000 processes would take minutes, so all are made the short way, in the suite's host: the
allocations as the files that they are, masquerading as the bridge does it, the mappings by calling
portmap's verb as a function.
"""

from __future__ import annotations

import io
import ipaddress
import json
import sys

from bench.attachment import SPEC_VERSION, Config, portmap
from bench.field import Suite
from cni.bundle import Bundle
from cni.call import Attachment, owner
from cni.skel import serve
from cni_bundle.plugins import PLUGINS
from hostnet import masquerade
from hostnet.netlink import NETLINK_NETFILTER, Netlink

_FIRST_ADDRESS = ipaddress.IPv4Address("10.88.64.0")
_FIRST_PORT = 20000


def fill(suite: Suite, network: str, count: int) -> None:
    """Give `count` containers that are not there an address, masqueraded, and a published port."""
    directory = suite.state / "networks" / network
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        container = f"other{number}"
        (directory / str(_FIRST_ADDRESS + number)).write_bytes(f"{container}\r\neth0".encode())
    suite.host.run(_masquerade, network, count)
    suite.host.run(_map, suite, network, count)


def _masquerade(network: str, count: int) -> None:
    with Netlink(NETLINK_NETFILTER) as nl:
        for number in range(count):
            held = Attachment(f"other{number}", "eth0")
            address = ipaddress.IPv4Interface(f"{_FIRST_ADDRESS + number}/16")
            masquerade.add(nl, owner(network, held), [address])


def _map(suite: Suite, network: str, count: int) -> None:
    bundle = Bundle(PLUGINS, sys.executable)
    for number in range(count):
        document: Config = {
            "cniVersion": SPEC_VERSION,
            "name": network,
            **portmap(_FIRST_PORT + number),
            "prevResult": {
                "cniVersion": SPEC_VERSION,
                "interfaces": [{"name": "eth0", "sandbox": str(suite.container.path)}],
                "ips": [{"address": f"{_FIRST_ADDRESS + number}/16", "interface": 0}],
            },
        }
        environ = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": f"other{number}",
            "CNI_NETNS": str(suite.container.path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(suite.directory),
        }
        answer = io.BytesIO()
        if serve("portmap", bundle, environ, io.BytesIO(json.dumps(document).encode()), answer):
            raise RuntimeError(f"filling mapping {number}: {answer.getvalue().decode()}")
