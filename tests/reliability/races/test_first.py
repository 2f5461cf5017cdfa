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
from tests.kit.syscalls import HOLD, Point, Supervisor
from tests.reliability.races.meet import is_wait


def _add(owner: str, address: str) -> Callable[[], int]:
    def target() -> int:
        with Netfilter.open() as nl:
            masquerade.add(nl, owner, [ip_interface(address)])
        return 0

    return target


def _sends(point: Point) -> bool:
    return point.call in ("sendto", "sendmsg", "flock")


def test_two_with_a_prefix_length_that_nobody_had(host: Host) -> None:
    """Each length has a rule, which both of them miss."""
    held = 0
    with Supervisor() as supervisor:
        for number in itertools.count(1):
            libc("unshare", CLONE_NEWNET)
            if not _meet(supervisor, number):
                break
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


def _meet(supervisor: Supervisor, number: int) -> bool:
    """The first is held at a point while the second runs; False where it has no such point."""
    a, b = _add("g/a", "10.0.0.2/24"), _add("g/b", "10.0.0.3/24")
    with supervisor.start(a, at=number, strike=HOLD, counts=_sends) as held:
        if not held.reached():
            return False
        with supervisor.start(b, at=1, strike=HOLD, counts=is_wait) as other:
            waits = other.reached()
            done = held.release()
            assert (done.status, done.stderr) == (0, b"")
            done = other.release() if waits else other.finish()
            assert (done.status, done.stderr) == (0, b"")
    return True
