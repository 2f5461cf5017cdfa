"""The play: attach a container on each host, see who reaches whom, detach, see what is left."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

import libcni
from cni.result import Result
from examples.demo_overlay.engines import CONFIG, ENGINES, Engine, install
from tests.kit.namespace import CLONE_NEWNS, MS_PRIVATE, MS_REC, Namespace, libc, mount
from tests.kit.probe import send_echo, transfer, wait_reach
from tests.kit.traffic import EchoServer, ask, ping
from tests.kit.underlay import Node, Underlay

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

PLUGINS = Path(__file__).resolve().parents[2] / "dist" / "bin"
PUBLISHED, INSIDE = 8080, 80
MTU = 1450  # of the overlay, on an IPv4 underlay of 1500


class Container:
    """A container on a host: its attachment, and what ADD answered."""

    def __init__(self, node: Node, name: str, published: bool) -> None:
        self.node = node
        self.name = name
        self.ns = node.container(name)
        mapping: JsonValue = {"hostPort": PUBLISHED, "containerPort": INSIDE}
        capabilities: dict[str, JsonValue] = {"portMappings": [mapping]} if published else {}
        self.attachment = libcni.Attachment(name, netns=str(self.ns), capability_args=capabilities)
        self.result = Result()
        self.milliseconds = 0.0

    @property
    def addresses(self) -> list[str]:
        """Without their prefix lengths, IPv4 first."""
        return [str(one.address.ip) for one in self.result.ips]

    def timed(self, act: Callable[[], Result | None]) -> None:
        """Run a verb on the host and keep its result and time."""
        start = time.perf_counter()
        self.result = self.node.run(act) or self.result
        self.milliseconds = (time.perf_counter() - start) * 1000


def main() -> int:
    """Play it; 0 if all went as it should."""
    parser = argparse.ArgumentParser(prog="make demo-overlay", description=__doc__)
    parser.add_argument("--plugins", type=Path, default=PLUGINS, help="directory of the plugins")
    parser.add_argument("--peers", choices=ENGINES, default=os.environ.get("PEERS") or "static")
    options = parser.parse_args()
    if options.peers not in ENGINES:  # argparse does not look at defaults
        parser.error(f"PEERS={options.peers}: expected one of {', '.join(ENGINES)}")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    with (
        tempfile.TemporaryDirectory(prefix="pycni-demo-") as directory,
        Underlay(Path(directory)) as underlay,
        ExitStack() as running,
    ):
        engine = ENGINES[options.peers](underlay, options.plugins)
        console.print(f"[bold]{options.peers}[/]: the hosts know each other by {engine.about}.\n")
        return _play(console, engine, running)


def _play(console: Console, engine: Engine, running: ExitStack) -> int:
    nodes = engine.underlay.nodes
    runtime = libcni.Runtime([str(engine.plugins)])
    for node in nodes:
        install(engine, node)
    engine.start(running)
    networks = {
        node.name: node.run(libcni.load_network, str(CONFIG.parent), "demo") for node in nodes
    }
    containers = [
        Container(node, name, published=node is nodes[0])
        for node, name in zip(nodes, ("web", "db", "cache"), strict=True)
    ]
    for one in containers:
        one.timed(partial(runtime.add, networks[one.node.name], one.attachment))
    console.print(_attached(containers))
    ready, apart = _wait(containers)
    console.print(_matrix(containers, ready, apart))
    reached = _more(console, containers) and not apart
    for one in containers:
        one.timed(partial(runtime.delete, networks[one.node.name], one.attachment))
    gone = _detached(console, containers)
    return 0 if reached and gone else 1


def _attached(containers: list[Container]) -> Table:
    table = Table(title="ADD: vxlan + host-local + portmap", title_justify="left")
    for column in ("host", "VTEP", "container", "addresses", "MTU", "published", "time"):
        table.add_column(column, justify="right" if column in ("MTU", "time") else "left")
    for one in containers:
        published = f"{one.node.four}:{PUBLISHED} → {INSIDE}"
        table.add_row(
            one.node.name,
            one.node.four,
            f"[bold]{one.name}[/]",
            "\n".join(one.addresses),
            str(one.ns.links()["eth0"]["mtu"]),
            published if one.attachment.capability_args else "-",
            f"{one.milliseconds:.0f} ms",
        )
    return table


def _wait(containers: list[Container]) -> tuple[float, set[tuple[str, str]]]:
    """Milliseconds until everybody reached everybody, and by name who does not reach whom.

    The list and multicast take none; FRR and the watchers have to talk first.
    """
    start = time.perf_counter()
    apart = set()
    for origin, target in _pairs(containers):
        try:
            for address in target.addresses:
                wait_reach(origin.ns, address)
        except AssertionError:
            apart.add((origin.name, target.name))
    return (time.perf_counter() - start) * 1000, apart


def _pairs(containers: list[Container]) -> Iterator[tuple[Container, Container]]:
    for origin in containers:
        for target in containers:
            if origin is not target:
                yield origin, target


def _matrix(containers: list[Container], ready: float, apart: set[tuple[str, str]]) -> Table:
    table = Table(
        title=f"who reaches whom: ping over IPv4 / IPv6, TCP (all of it {ready:.0f} ms after ADD)",
        title_justify="left",
    )
    table.add_column("from \\ to")
    for one in containers:
        table.add_column(f"[bold]{one.name}[/] on {one.node.name}", justify="right")
    for origin in containers:
        cells = [
            "[red]✗[/]" if (origin.name, target.name) in apart else _cell(origin, target)
            for target in containers
        ]
        table.add_row(f"[bold]{origin.name}[/] on {origin.node.name}", *cells)
    return table


def _cell(origin: Container, target: Container) -> str:
    if origin is target:
        return "-"
    times = " / ".join(f"{_best(origin.ns, one):.2f}" for one in target.addresses)
    rate = transfer(origin.ns, target.ns, target.addresses[0], megabytes=16)
    return f"[green]✓[/] {times} ms\n{rate / 1000:.1f} Gbit/s"


def _best(ns: Namespace, address: str) -> float:
    """Milliseconds of the fastest of some pings."""
    took = [one for one in (ping(ns, address) for _ in range(10)) if one is not None]
    return min(took, default=float("nan"))


def _more(console: Console, containers: list[Container]) -> bool:
    table = Table(title="and", title_justify="left")
    for column in ("from", "to", "answer"):
        table.add_column(column)
    well = True
    web = containers[0]
    with EchoServer(web.ns, "::", INSIDE, name="web"):
        for origin, target, answer in _attempts(containers):
            try:
                text = f"[green]✓[/] {answer()}"
            except (OSError, AssertionError) as error:
                text, well = f"[red]✗[/] {error}", False
            table.add_row(origin, target, text)
    console.print(table)
    return well


def _attempts(containers: list[Container]) -> Iterator[tuple[str, str, Callable[[], str]]]:
    web, db, cache = containers
    published = f"the published port {web.node.four}:{PUBLISHED}"
    yield db.name, f"{web.name} by TCP", partial(_ask, db.ns, web.addresses[0], INSIDE, seen=db)
    yield cache.node.name, published, partial(_ask, cache.node, web.node.four, PUBLISHED)
    yield cache.name, published, partial(_ask, cache.ns, web.node.four, PUBLISHED)
    for size, outcome in ((MTU, "echoed"), (MTU + 1, "too big")):
        yield (
            db.name,
            f"{cache.name}, {size} octets that must not be fragmented",
            partial(_sized, db.ns, cache.addresses[0], size, outcome),
        )


def _ask(ns: Namespace, address: str, port: int, seen: Container | None = None) -> str:
    answer = ask(ns, address, port)
    client = answer.client.removeprefix("::ffff:")
    assert answer.server == "web", f"{answer.server} answered, expected web"
    assert seen is None or client in seen.addresses, f"it saw {client}, not {seen.addresses}"
    return f"web answered, and saw {client}"


def _sized(ns: Namespace, address: str, size: int, outcome: str) -> str:
    found = send_echo(ns, address, size)
    assert found == outcome, f"{found}, expected {outcome}"
    return found


def _detached(console: Console, containers: list[Container]) -> bool:
    table = Table(title="DEL", title_justify="left")
    table.add_column("container")
    table.add_column("time", justify="right")
    for one in containers:
        table.add_row(f"[bold]{one.name}[/]", f"{one.milliseconds:.0f} ms")
    console.print(table)
    leaked = [
        f"{one.node.name}: {line}"
        for one in containers
        for line in one.node.left()
        if not _is_shared(line)
    ]
    for line in leaked:
        console.print(f"[red]left behind on[/] {line}")
    if not leaked:
        console.print(
            "[green]✓[/] nothing of them is left; what a host has once for all its containers stays"
            " for the next."
        )
    return not leaked


def _is_shared(line: str) -> bool:
    """What a host has once for a network, sockets of daemons, tables without elements, routes of
    a router, and the address directories' own files."""
    if line.startswith("nft "):
        return not line.startswith("nft element ") or line.startswith(
            "nft element inet pycni_vxlan "
        )
    if line.startswith("file "):
        return line.endswith(("/", "/lock", ".conflist", ".sock", ".sock.lock")) or (
            "/last_reserved_ip." in line
        )
    return any(one in line for one in (" vxlan42 ", " vxbr42 ", ":: dev eth0 table local "))


if __name__ == "__main__":
    sys.exit(main())
