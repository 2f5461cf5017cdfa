"""The play: attach two containers, see who reaches whom, detach them, see what is left."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

import libcni
from cni.result import Result
from examples.demo.world import CLIENT, UPLINK, World
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

PLUGINS = Path(__file__).resolve().parents[2] / "dist" / "bin"
PUBLISHED, INSIDE = 8080, 80

NETWORK = {
    "cniVersion": "1.1.0",
    "name": "demo",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


class Container:
    """A container of the demo: its namespace, its attachment, and what ADD answered."""

    def __init__(self, world: World, name: str, **capability_args: JsonValue) -> None:
        self.name = name
        self.ns = world.namespace(name)
        self.attachment = libcni.Attachment(
            name, netns=str(self.ns), capability_args=capability_args
        )
        self.result = Result()
        self.milliseconds = 0.0

    @property
    def addresses(self) -> list[str]:
        """Without their prefix lengths, IPv4 first."""
        return [str(one.address.ip) for one in self.result.ips]

    def timed(self, act: Callable[[], Result | None]) -> None:
        """Run a verb and keep its result and time."""
        start = time.perf_counter()
        self.result = act() or self.result
        self.milliseconds = (time.perf_counter() - start) * 1000


def main() -> int:
    """Play it; 0 if all went as it should."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--plugins", type=Path, default=PLUGINS, help="directory of the plugins")
    plugins: Path = parser.parse_args().plugins
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    network = libcni.network_from_bytes(json.dumps(NETWORK).encode())
    with World() as world:
        runtime = libcni.Runtime([str(plugins)])
        published: JsonValue = {"hostPort": PUBLISHED, "containerPort": INSIDE}
        web = Container(world, "web", portMappings=[published])
        db = Container(world, "db")
        containers = [web, db]
        for one in containers:
            one.timed(partial(runtime.add, network, one.attachment))
        console.print(_attached(containers))
        reached = _reach(console, world, web, db)
        for one in containers:
            one.timed(partial(runtime.delete, network, one.attachment))
        gone = _detached(console, containers, world.left())
    return 0 if reached and gone else 1


def _attached(containers: list[Container]) -> Table:
    table = Table(title="ADD: bridge + host-local + portmap", title_justify="left")
    for column in ("container", "address", "MAC", "host interface", "published", "time"):
        table.add_column(column, justify="right" if column == "time" else "left")
    for one in containers:
        _bridge, port, inner = one.result.interfaces
        published = f"{UPLINK}:{PUBLISHED} → {INSIDE}" if one.attachment.capability_args else "-"
        table.add_row(
            f"[bold]{one.name}[/]",
            "\n".join(one.addresses),
            inner.mac,
            port.name,
            published,
            f"{one.milliseconds:.0f} ms",
        )
    return table


def _reach(console: Console, world: World, web: Container, db: Container) -> bool:
    table = Table(title="who reaches whom", title_justify="left")
    for column in ("from", "to", "answer"):
        table.add_column(column)
    well = True
    with EchoServer(web.ns, "::", INSIDE, name="web"), EchoServer(world.client, CLIENT, 7):
        for origin, target, answer in _attempts(world, web, db):
            try:
                text = f"[green]✓[/] {answer()}"
            except (OSError, AssertionError) as error:
                text, well = f"[red]✗[/] {error}", False
            table.add_row(origin, target, text)
    console.print(table)
    return well


def _attempts(
    world: World, web: Container, db: Container
) -> Iterator[tuple[str, str, Callable[[], str]]]:
    for address in web.addresses:
        yield "db", f"web at {address}", partial(_ping, db.ns, address)
    gateway = str(db.result.ips[0].gateway)
    yield "db", f"its gateway {gateway}", partial(_ping, db.ns, gateway)
    for origin, ns, address in (
        ("client outside", world.client, UPLINK),
        ("the host", world.host, "127.0.0.1"),
        ("db", db.ns, UPLINK),
        ("web itself", web.ns, UPLINK),
    ):
        yield (
            origin,
            f"the published port {address}:{PUBLISHED}",
            partial(_ask, ns, address, PUBLISHED, "web"),
        )
    yield "db", f"a server outside at {CLIENT}", partial(_ask, db.ns, CLIENT, 7, "echo", UPLINK)


def _ping(ns: Namespace, address: str) -> str:
    took = ping(ns, address)
    assert took is not None, "no answer"
    return f"ping, {took:.2f} ms"


def _ask(ns: Namespace, address: str, port: int, server: str, seen: str = "") -> str:
    answer = ask(ns, address, port)
    assert answer.server == server, f"{answer.server} answered, expected {server}"
    client = answer.client.removeprefix("::ffff:")
    assert not seen or client == seen, f"it saw {client}, expected {seen}"
    return f"{server} answered, and saw {client}"


def _detached(console: Console, containers: list[Container], left: list[str]) -> bool:
    table = Table(title="DEL", title_justify="left")
    table.add_column("container")
    table.add_column("time", justify="right")
    for one in containers:
        table.add_row(f"[bold]{one.name}[/]", f"{one.milliseconds:.0f} ms")
    console.print(table)
    shared = [line for line in left if _is_shared(line)]
    leaked = [line for line in left if line not in shared]
    for line in leaked:
        console.print(f"[red]left behind:[/] {line}")
    if not leaked:
        console.print(
            "[green]✓[/] nothing of them is left; the bridge and empty tables stay for the next."
        )
    return not leaked


def _is_shared(line: str) -> bool:
    """The bridge, tables without elements, directories, and the address directory's own files."""
    if line.startswith(("link cni0 ", "address dev cni0 ")) or " dev cni0 " in line:
        return True
    if line.startswith("nft "):
        return not line.startswith("nft element ")
    return line.endswith(("/", "/lock")) or "/last_reserved_ip." in line


if __name__ == "__main__":
    sys.exit(main())
