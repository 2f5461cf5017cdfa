"""The commands: each with a line about it, its arguments, and what runs it.

What runs a command is imported when it is called: cnitool starts in the time of the one that is
wanted. Completion, man pages and help are made from this table.
"""

from __future__ import annotations

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TypeAlias

    from cnitool.settings import Settings
    from cnitool.suite.command import Places

    Parser: TypeAlias = argparse.ArgumentParser
    Options: TypeAlias = argparse.Namespace


@record
class Command:
    """arguments: adds its own to its parser; the second parser holds the options of all commands,
    for the parsers of subcommands. run: does it, gives the exit status, raises CniError."""

    name: str
    about: str
    arguments: Callable[[Parser, Parser], None]
    run: Callable[[Settings, Options], int]


# ---- arguments


def _network(parser: Parser, common: Parser) -> None:
    del common
    parser.add_argument("network", help="the network's name, or its file, with a slash")


def _network_and_netns(parser: Parser, common: Parser) -> None:
    _network(parser, common)
    parser.add_argument("netns", help="the namespace's path, such as /run/netns/NAME")


def _network_and_ignored_netns(parser: Parser, common: Parser) -> None:
    _network(parser, common)
    parser.add_argument("netns", nargs="?", help="ignored; the reference's cnitool wants it")


def _for_programs(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _gc_arguments(parser: Parser, common: Parser) -> None:
    _network_and_ignored_netns(parser, common)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--keep",
        action="append",
        metavar="CONTAINER[:IFNAME]",
        help="an attachment that is valid, by the container's id or the path of its namespace; "
        "may be repeated",
    )
    which.add_argument("--all", action="store_true", help="none is valid: remove all of them")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would go, and remove nothing"
    )


def _list_arguments(parser: Parser, common: Parser) -> None:
    del common
    parser.add_argument("network", nargs="?", help="only this one")
    _for_programs(parser)


def _heal_arguments(parser: Parser, common: Parser) -> None:
    _list_arguments(parser, common)
    parser.add_argument("--dry-run", action="store_true", help="only say what is lost")


def _inspect_arguments(parser: Parser, common: Parser) -> None:
    del common
    parser.add_argument(
        "what",
        help="a container's id or its beginning, a pod, an address, a host port (8080, 8080/udp), "
        "a MAC, a host interface, or a namespace",
    )
    _for_programs(parser)


def _only_json(parser: Parser, common: Parser) -> None:
    del common
    _for_programs(parser)


def _graph_arguments(parser: Parser, common: Parser) -> None:
    del common
    parser.add_argument("network", nargs="?", help="only this one")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--svg", metavar="FILE", default="", help="a picture; - for stdout")
    form.add_argument("--html", metavar="FILE", default="", help="a page to search and zoom")
    form.add_argument("--json", action="store_true", help="for programs")


def _trace_arguments(parser: Parser, common: Parser) -> None:
    del common
    parser.add_argument("what", help="the container, by anything that `inspect` takes")
    parser.add_argument(
        "destination", help="an address, or one with a port: 10.2.0.1:80, [fd00::1]:53/udp"
    )
    parser.add_argument(
        "--wait", type=float, default=2.0, metavar="SECONDS", help="for an answer (default 2)"
    )
    _for_programs(parser)


def _places_arguments(parser: Parser) -> None:
    parser.add_argument(
        "bindir", nargs="?", default="/opt/cni/bin", help="where a runtime looks for plugins"
    )
    parser.add_argument("--units", metavar="DIR", default="", help="also systemd's units, here")
    parser.add_argument(
        "--share", metavar="DIR", default="", help="also man pages and completion, below here"
    )
    parser.add_argument("--root", metavar="DIR", default="/", help="of the machine it is for")
    parser.add_argument("--documents", metavar="DIR", default="", help="of another release")


def _install_arguments(parser: Parser, common: Parser) -> None:
    del common
    _places_arguments(parser)
    parser.add_argument("--from", dest="source", metavar="DIR", default="", help="another release")


def _uninstall_arguments(parser: Parser, common: Parser) -> None:
    del common
    _places_arguments(parser)
    rules = parser.add_mutually_exclusive_group()
    rules.add_argument(
        "--keep-rules", action="store_true", help="do not move rules of running containers"
    )
    rules.add_argument(
        "--only-rules", action="store_true", help="move them to iptables, and remove nothing"
    )


def _explain_arguments(parser: Parser, common: Parser) -> None:
    _network(parser, common)
    parser.add_argument(
        "--container", metavar="ID", default="", help="a container's id, from which names follow"
    )
    _for_programs(parser)


def _schema_arguments(parser: Parser, common: Parser) -> None:
    del common
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "plugin", nargs="?", default="conflist", help="a plugin; without one, the list of a network"
    )
    which.add_argument("--all", action="store_true", help="all of them, each into a file")
    parser.add_argument("--output", metavar="DIR", help="where the files go; only with --all")


def _overlay_arguments(parser: Parser, common: Parser) -> None:
    acts = parser.add_subparsers(dest="act", required=True, metavar="COMMAND")
    for name, about in (
        ("nodes", "show the hosts of an overlay, and which of them are alive"),
        ("state", "ask this host's watcher how it keeps up with the others"),
        ("reclaim", "give up a dead host: its subnets and addresses are free for others then"),
        ("restore", "enter this host again, with the subnets it had, after etcd has lost it"),
    ):
        act = acts.add_parser(name, help=about, description=about, parents=[common])
        _network(act, common)
        if name == "reclaim":
            act.add_argument("node", help="its name in etcd, as `nodes` shows it")
        _for_programs(act)


# ---- what runs them


def _add(settings: Settings, options: Options) -> int:
    from cnitool import attach

    return attach.add(settings, options.network, options.netns)


def _check(settings: Settings, options: Options) -> int:
    from cnitool import attach

    return attach.check(settings, options.network, options.netns)


def _delete(settings: Settings, options: Options) -> int:
    from cnitool import attach

    return attach.delete(settings, options.network, options.netns)


def _gc(settings: Settings, options: Options) -> int:
    from cnitool import attach

    return attach.gc(settings, options.network, options.keep or (), dry=options.dry_run)


def _status(settings: Settings, options: Options) -> int:
    from cnitool import attach

    return attach.status(settings, options.network)


def _validate(settings: Settings, options: Options) -> int:
    from cnitool import validate

    return validate.run(settings, options.network)


def _explain(settings: Settings, options: Options) -> int:
    from cnitool.explain import command

    return command.run(settings, options.network, options.container, as_json=options.json)


def _schema(settings: Settings, options: Options) -> int:
    from cnitool.schemas import command

    del settings
    return command.run(options.plugin, options.output or "", everything=options.all)


def _list(settings: Settings, options: Options) -> int:
    from cnitool import listing

    return listing.run(settings, options.network or "", as_json=options.json)


def _networks(settings: Settings, options: Options) -> int:
    from cnitool import views

    return views.networks(settings, as_json=options.json)


def _attachments(settings: Settings, options: Options) -> int:
    from cnitool import views

    return views.attachments(settings, options.network or "", as_json=options.json)


def _ports(settings: Settings, options: Options) -> int:
    from cnitool import views

    return views.ports(settings, as_json=options.json)


def _inspect(settings: Settings, options: Options) -> int:
    from cnitool import inspect

    return inspect.run(settings, options.what, as_json=options.json)


def _ipam(settings: Settings, options: Options) -> int:
    from cnitool import ipam

    return ipam.run(settings, options.network or "", as_json=options.json)


def _graph(settings: Settings, options: Options) -> int:
    from cnitool.graph import command

    return command.run(
        settings,
        options.network or "",
        svg=options.svg,
        page=options.html,
        as_json=options.json,
    )


def _heal(settings: Settings, options: Options) -> int:
    from cnitool import heal

    network = options.network or ""
    return heal.run(settings, network, dry_run=options.dry_run, as_json=options.json)


def _trace(settings: Settings, options: Options) -> int:
    from cnitool.trace import command

    return command.run(
        settings, options.what, options.destination, options.wait, as_json=options.json
    )


def _doctor(settings: Settings, options: Options) -> int:
    from cnitool.doctor import checkup

    return checkup.run(settings, as_json=options.json)


def _install(settings: Settings, options: Options) -> int:
    del settings
    from cnitool.suite import command

    return command.install(_places(options))


def _uninstall(settings: Settings, options: Options) -> int:
    from cnitool.suite import command

    return command.uninstall(
        settings,
        _places(options),
        keep_rules=options.keep_rules,
        only_rules=options.only_rules,
    )


def _places(options: Options) -> Places:
    from cnitool.suite.command import Places

    return Places(
        options.root,
        options.bindir,
        options.units,
        options.share,
        getattr(options, "source", ""),
        options.documents,
    )


def _overlay(settings: Settings, options: Options) -> int:
    from cnitool import overlay

    return overlay.run(settings, options)


COMMANDS = (
    Command(
        "add", "attach a namespace to a network and print the result", _network_and_netns, _add
    ),
    Command("check", "compare an attachment with the result of add", _network_and_netns, _check),
    Command("del", "detach a namespace from a network", _network_and_netns, _delete),
    Command(
        "gc", "remove what is left of attachments that are not valid any more", _gc_arguments, _gc
    ),
    Command(
        "status", "ask whether a network could serve an add", _network_and_ignored_netns, _status
    ),
    Command(
        "validate",
        "look for mistakes in a network's configuration",
        _network_and_ignored_netns,
        _validate,
    ),
    Command(
        "explain",
        "tell what an add would do on this host, and do nothing of it",
        _explain_arguments,
        _explain,
    ),
    Command(
        "schema",
        "print the JSON Schema of a configuration, for editors",
        _schema_arguments,
        _schema,
    ),
    Command(
        "heal",
        "give running containers back what the host's packet filter has lost",
        _heal_arguments,
        _heal,
    ),
    Command("networks", "show the networks of this host", _only_json, _networks),
    Command(
        "attachments",
        "show what is attached, as cache, IPAM files and kernel tell of it",
        _list_arguments,
        _attachments,
    ),
    Command(
        "inspect",
        "show all there is about a container, an address or a port",
        _inspect_arguments,
        _inspect,
    ),
    Command("ipam", "show how full the ranges are, and what the dead hold", _list_arguments, _ipam),
    Command("ports", "show the published ports, and whose they are", _only_json, _ports),
    Command("doctor", "look for what is wrong with this host", _only_json, _doctor),
    Command("graph", "draw bridges, overlays, containers and ports", _graph_arguments, _graph),
    Command("trace", "send a packet from a container, and show its way", _trace_arguments, _trace),
    Command("list", "show networks, and what is attached to them", _list_arguments, _list),
    Command(
        "overlay", "see who is in an overlay, and remove who is dead", _overlay_arguments, _overlay
    ),
    Command(
        "install",
        "put this suite where a runtime looks for plugins, and keep what stands there",
        _install_arguments,
        _install,
    ),
    Command(
        "uninstall",
        "take this suite away, and bring back what stood there before",
        _uninstall_arguments,
        _uninstall,
    ),
)
