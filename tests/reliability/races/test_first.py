"""The first of its kind on a host lays down what others share: two at once lay it down once."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from ipaddress import ip_interface

from hostnet import masquerade
from hostnet.netfilter import Netfilter
from tests.kit.host import Host
from tests.kit.namespace import CLONE_NEWNET, libc
from tests.kit.syscalls import Supervisor
from tests.reliability.races.meet import meet


def _add(owner: str, address: str) -> Callable[[], int]:
    def target() -> int:
        with Netfilter.open() as nl:
            masquerade.add(nl, owner, [ip_interface(address)])
        return 0

    return target


def test_two_with_a_prefix_length_that_nobody_had(host: Host) -> None:
    """Each length has a rule, which both of them miss."""
    held = 0
    with Supervisor() as supervisor:
        for number in itertools.count(1):
            libc("unshare", CLONE_NEWNET)
            met = meet(supervisor, _add("g/a", "10.0.0.2/24"), _add("g/b", "10.0.0.3/24"), number)
            if met is None:
                break
            assert [(one.status, one.stderr) for one in (met.a, met.b)] == [(0, b"")] * 2
            held += 1
            text = subprocess.run(
                ["nft", "list", "table", "inet", masquerade.NAME],
                text=True,
                capture_output=True,
                check=True,
            ).stdout
            assert text.count("@inside4_24 accept") == 1, text
            assert text.count("masquerade") == 2, text  # the table's name, and the rule
            with Netfilter.open() as nl:
                for owner, address in (("g/a", "10.0.0.2/24"), ("g/b", "10.0.0.3/24")):
                    assert masquerade.problems(nl, owner, [ip_interface(address)]) == []
        host.enter()
    assert held > 5
