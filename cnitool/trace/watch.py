"""Have nftables trace one packet, in the network namespace of the calling thread.

Two tables of our own mark it, before any other sees it: one where it passes a bridge, one where it
reaches the host. They match nothing but the probe, and go when the watch ends.
"""

from __future__ import annotations

import os
import select
import time

from hostnet import nft
from hostnet.monitor import Monitor
from hostnet.netlink import NETLINK_NETFILTER
from hostnet.nftrace import NFNLGRP_NFTRACE, NFT_MSG_TRACE, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from cni.ip import Address
    from cnitool.trace.probe import Target

_ROOM = 1 << 20
_QUIET = 0.2
"""Seconds without an announcement after which a packet that was heard of goes no further."""


class Watch:
    """`with Watch(source, target) as watch:` mark what matches; `take` what was announced."""

    def __init__(self, source: Address, target: Target) -> None:
        self.table = f"pycni_trace_{os.getpid()}"
        self._source = source
        self._target = target

    def __enter__(self) -> Watch:
        self._monitor = Monitor(NFNLGRP_NFTRACE, protocol=NETLINK_NETFILTER, room=_ROOM)
        try:
            nft.run(self._rules())
        except BaseException:
            self._monitor.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._monitor.close()
        nft.run(f"delete table inet {self.table}\ndelete table bridge {self.table}")

    def _rules(self) -> str:
        word = "ip" if self._source.version == 4 else "ip6"
        match = (
            f"{word} saddr {self._source} {word} daddr {self._target.address} "
            f"meta l4proto {self._target.number}"
        )
        if self._target.port:
            match += f" th dport {self._target.port}"
        # NF_IP_PRI_FIRST and NF_BR_PRI_FIRST are INT_MIN; a little later is early enough.
        hook = "type filter hook prerouting priority -10000; policy accept;"
        lines: list[str] = []
        for family in ("inet", "bridge"):
            lines += [
                f"add table {family} {self.table}",
                f"add chain {family} {self.table} first {{ {hook} }}",
                f"add rule {family} {self.table} first {match} meta nftrace set 1",
            ]
        return "\n".join(lines)

    def take(self, seconds: float) -> list[Step]:
        """The steps of the first packet, those in our own tables left out.

        Not by the packet's number: it comes from the buffer's address, and a bridge that floods a
        packet copies it. But nothing else is marked, and a packet that is sent again begins anew.
        """
        steps: list[Step] = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._monitor], [], [], min(left, _QUIET))
            if not ready:
                if steps:
                    break
                continue
            messages = self._monitor.take().messages
            steps += [Step(payload) for kind, payload in messages if kind == NFT_MSG_TRACE]
        begins = [n for n, one in enumerate(steps) if self._is_begin(one)]
        first = steps[: begins[1]] if len(begins) > 1 else steps
        return [one for one in first if one.table != self.table]

    def _is_begin(self, one: Step) -> bool:
        """Where the packet gets its mark on the way to the host; a bridge marks it before."""
        return (one.family, one.table) == ("inet", self.table) and bool(one.handle)
