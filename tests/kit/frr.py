"""FRR's zebra and bgpd on a host of the underlay, as the control plane of EVPN.

Debian's package `frr`; nothing of it runs on the machine itself. Its files are below /etc/frr and
/run/frr, which each node has for itself. FRR 8.4 knows IPv4 VTEPs only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.kit.underlay import Node

DAEMONS = Path("/usr/lib/frr")
ASN = 65000
RUN, ETC = Path("/run/frr"), Path("/etc/frr")

needs_frr = pytest.mark.skipif(
    not (DAEMONS / "bgpd").exists(), reason="Debian's package frr is not installed"
)


class Frr:
    """`with Frr(node, addresses of the others) as frr:` speaks EVPN with them over iBGP.

    It learns every VNI by itself (`advertise-all-vni`): a device that appears or goes needs no
    word to it.
    """

    def __init__(self, node: Node, peers: Sequence[str]) -> None:
        self.node = node
        self.peers = list(peers)
        self._daemons: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Start both daemons, and wait until they answer."""
        self.node.run(self._write)
        for name in ("zebra", "bgpd"):
            self._daemons.append(
                self.node.popen(
                    str(DAEMONS / name),
                    *("--config_file", str(ETC / f"{name}.conf")),
                    *("--vty_port", "0"),
                    *("--log", "stdout", "--log-level", "warnings"),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            self._wait_for(partial(self.answers, name), name)

    def _write(self) -> None:
        for directory in (RUN, ETC):
            directory.mkdir(exist_ok=True)
        shutil.chown(RUN, "frr", "frr")  # to which the daemons change
        (ETC / "vtysh.conf").touch()
        (ETC / "zebra.conf").write_text("")
        (ETC / "bgpd.conf").write_text("\n".join(self._config()) + "\n")

    def _config(self) -> list[str]:
        return [
            f"router bgp {ASN}",
            f" bgp router-id {self.node.four}",
            " no bgp default ipv4-unicast",
            *(f" neighbor {one} remote-as {ASN}" for one in self.peers),
            *(f" neighbor {one} update-source {self.node.four}" for one in self.peers),
            *(f" neighbor {one} timers connect 1" for one in self.peers),
            *(f" neighbor {one} advertisement-interval 0" for one in self.peers),
            " address-family l2vpn evpn",
            *(f"  neighbor {one} activate" for one in self.peers),
            "  advertise-all-vni",
            " exit-address-family",
        ]

    def vtysh(self, command: str, daemon: str = "") -> str | None:
        """What it answers to a command; None while it does not."""
        where = ("-d", daemon) if daemon else ()
        done = self.node.command("vtysh", *where, "-c", command, check=False)
        return done.stdout if done.returncode == 0 else None

    def answers(self, daemon: str) -> bool:
        """Whether a daemon takes commands."""
        return self.vtysh("show version", daemon) is not None

    def ask(self, command: str) -> Any:
        """The same for a command with `json`, parsed."""
        return json.loads(self.vtysh(f"{command} json") or "{}")

    def wait_peers(self) -> None:
        """Wait until the sessions with every peer are established."""

        def established() -> bool:
            found = self.ask("show bgp l2vpn evpn summary").get("peers", {})
            return all(found.get(one, {}).get("state") == "Established" for one in self.peers)

        self._wait_for(established, "its peers")

    def _wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            for one in self._daemons:
                assert one.poll() is None, f"{one.args!r} ended with {one.returncode}"
            assert time.monotonic() < deadline, f"FRR on {self.node.name} waits for {what}"

    def stop(self) -> None:
        """Kill them, as a crash would: this host's kernel keeps what they told it.

        The others take this host's entries away at once, since the connection is reset.
        """
        for one in self._daemons:
            one.kill()
            one.wait()
        self._daemons = []
        self.node.run(shutil.rmtree, RUN, ignore_errors=True)

    def __enter__(self) -> Frr:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
