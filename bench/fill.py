"""Fill a host with other containers' allocations, masquerading and mappings, for the growth cases.

10,000 processes would take minutes, so all are made the short way, in the suite's host: the
allocations as the files that they are for both suites; masquerading as the bridge does it and the
mappings by calling portmap's verb as a function; the reference's rules in one iptables-restore.
"""

from __future__ import annotations

import io
import ipaddress
import json
import subprocess
import sys
import zlib

from bench.attachment import SPEC_VERSION, Config, portmap
from bench.field import REFERENCE, Suite
from cni.bundle import Bundle
from cni.call import Attachment, owner
from cni.skel import serve
from cni_bundle.plugins import PLUGINS
from hostnet import masquerade
from hostnet.netfilter import Netfilter

_NETWORK = "bench"
_FIRST_ADDRESS = ipaddress.IPv4Address("10.88.64.0")
_FIRST_PORT = 20000
_RESTORE_SECONDS = 300


def fill(suite: Suite) -> None:
    """Give as many containers as its size says an address, masqueraded, and a published port.

    The containers themselves are not there.
    """
    directory = suite.state / "networks" / _NETWORK
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(suite.size):
        (directory / str(_FIRST_ADDRESS + number)).write_bytes(
            f"{_container(number)}\r\neth0".encode()
        )
    if suite.name == REFERENCE:
        suite.host.run(_restore, suite.size)
    else:
        suite.host.run(_masquerade, suite.size)
        suite.host.run(_map, suite)


def _container(number: int) -> str:
    return f"other{number}"


def _masquerade(count: int) -> None:
    with Netfilter() as nl:
        for number in range(count):
            held = Attachment(_container(number), "eth0")
            address = ipaddress.IPv4Interface(f"{_FIRST_ADDRESS + number}/16")
            masquerade.add(nl, owner(_NETWORK, held), [address])


def _map(suite: Suite) -> None:
    bundle = Bundle(PLUGINS, sys.executable)
    for number in range(suite.size):
        document: Config = {
            "cniVersion": SPEC_VERSION,
            "name": _NETWORK,
            **portmap(_FIRST_PORT + number),
            "prevResult": {
                "cniVersion": SPEC_VERSION,
                "interfaces": [{"name": "eth0", "sandbox": str(suite.container.path)}],
                "ips": [{"address": f"{_FIRST_ADDRESS + number}/16", "interface": 0}],
            },
        }
        environ = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": _container(number),
            "CNI_NETNS": str(suite.container.path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(suite.directory),
        }
        answer = io.BytesIO()
        if serve("portmap", bundle, environ, io.BytesIO(json.dumps(document).encode()), answer):
            raise RuntimeError(f"filling mapping {number}: {answer.getvalue().decode()}")


# What `iptables-save` shows after containernetworking-plugins 1.1.1 has attached one container to
# bench.attachment's chain; {chain} and {dnat} are named after a hash of the container's id.
_SHARED = """\
*nat
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
"""  # noqa: E501
_EACH = r"""
:{chain} - [0:0]
:{dnat} - [0:0]
-A POSTROUTING -s {address}/32 -m comment --comment "name: \"bench\" id: \"{id}\"" -j {chain}
-A {chain} -d 10.88.0.0/16 -m comment --comment "name: \"bench\" id: \"{id}\"" -j ACCEPT
-A {chain} ! -d 224.0.0.0/4 -m comment --comment "name: \"bench\" id: \"{id}\"" -j MASQUERADE
-A {dnat} -s 10.88.0.0/16 -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK
-A {dnat} -s 127.0.0.1/32 -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK
-A {dnat} -p tcp -m tcp --dport {port} -j DNAT --to-destination {address}:80
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"bench\" id: \"{id}\"" -m multiport --dports {port} -j {dnat}
"""  # noqa: E501


def _restore(count: int) -> None:
    each = (
        _EACH.format(
            chain=f"CNI-{_digits(number):0>24}",
            dnat=f"CNI-DN-{_digits(number):0>21}",
            address=_FIRST_ADDRESS + number,
            port=_FIRST_PORT + number,
            id=_container(number),
        ).lstrip()
        for number in range(count)
    )
    rules = f"{_SHARED}{''.join(each)}COMMIT\n"
    subprocess.run(
        ["iptables-restore", "--noflush"],
        input=rules, text=True, check=True, timeout=_RESTORE_SECONDS,
    )  # fmt: skip


def _digits(number: int) -> str:
    return f"{number:06}{zlib.crc32(_container(number).encode()):08x}"
