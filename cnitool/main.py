"""The command line: its grammar, its errors on stderr, its exit status."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys

from cni import __version__
from cni.errors import CniError
from cni.versions import CURRENT
from cnitool import attach
from cnitool.settings import Settings, read_settings
from libcni.runtime import DEFAULT_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn

ABOUT = "Attach network namespaces to CNI networks, and find out what is wrong with them."
ENVIRONMENT = """\
environment:
  CNI_PATH      directories with the plugins (default /opt/cni/bin)
  NETCONFPATH   directory with the network configurations (default /etc/cni/net.d)
  CNI_IFNAME    interface in the namespace (default eth0)
  CNI_ARGS      arguments for the plugins: KEY=VALUE;KEY=VALUE
  CAP_ARGS      capability arguments, a JSON object: {"portMappings": [...]}

The container's id is made from the namespace's path, as the reference's cnitool makes it. The exit
status is 0 for success and 1 for any error, which is told on stderr.
"""
_FAILED = 1
_KEPT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """A signal arrived: kill the plugin, undo an ADD, end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Parser(argparse.ArgumentParser):
    """Exits as the reference does: with 1, where argparse would take 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(_FAILED, f"{self.prog}: {message}\n{self.format_usage()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for number in _KEPT_SIGNALS:
        signal.signal(number, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):  # JSON is UTF-8, whatever the locale
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    options = _parser().parse_args(argv)
    try:
        settings = read_settings(os.environ, options.ifname, options.cache_dir, options.timeout)
        status = _run(options, settings)
        sys.stdout.flush()
        return status
    except CniError as error:
        sys.stderr.write(f"{error}\n")
        for note in getattr(error, "__notes__", ()):
            sys.stderr.write(f"{note}\n")
        if os.geteuid() != 0:
            sys.stderr.write(
                f"cnitool is not run as root but as user {os.geteuid()}: most plugins and the "
                "cache need root\n"
            )
        return _FAILED
    except Terminated as signalled:
        sys.stderr.write(f"cnitool: ended by {signalled}\n")
        for note in getattr(signalled, "__notes__", ()):
            sys.stderr.write(f"{note}\n")
        return 128 + signalled.number
    except BrokenPipeError:  # whoever read stdout has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    # Once: a second one must not cut the undoing short.
    for each in _KEPT_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)


def _run(options: argparse.Namespace, settings: Settings) -> int:
    match options.command:
        case "add":
            return attach.add(settings, options.network, options.netns)
        case "check":
            return attach.check(settings, options.network, options.netns)
        case "del":
            return attach.delete(settings, options.network, options.netns)
        case "gc":
            return attach.gc(settings, options.network, options.keep or ())
        case "status":
            return attach.status(settings, options.network)
        case "validate":
            from cnitool import validate

            return validate.run(settings, options.network)
        case "overlay":
            from cnitool import overlay

            return overlay.run(settings, options)
        case _:
            from cnitool import listing

            return listing.run(settings, options.network or "", as_json=options.json)


def _parser() -> Parser:
    parser = Parser(
        prog="cnitool",
        description=ABOUT,
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"cnitool {__version__} (CNI {CURRENT})"
    parser.add_argument("--version", action="version", version=version)
    common = Parser(add_help=False)
    common.add_argument("-i", "--ifname", default="", help="interface, instead of CNI_IFNAME")
    common.add_argument("--cache-dir", default="", metavar="DIR", help="instead of /var/lib/cni")
    common.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="for each plugin, which is then killed (default %(default)g, 0 for none)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about, parents=[common])

    for name, about in (
        ("add", "attach a namespace to a network and print the result"),
        ("check", "compare an attachment with the result of add"),
        ("del", "detach a namespace from a network"),
    ):
        verb = command(name, about)
        verb.add_argument("network", help="the network's name, or its file, with a slash")
        verb.add_argument("netns", help="the namespace's path, such as /run/netns/NAME")
    _add_gc(command("gc", "remove what is left of attachments that are not valid any more"))
    for name, about in (
        ("status", "ask whether a network could serve an add"),
        ("validate", "look for mistakes in a network's configuration"),
    ):
        verb = command(name, about)
        verb.add_argument("network", help="the network's name, or its file, with a slash")
        verb.add_argument("netns", nargs="?", help="ignored; the reference's cnitool wants it")
    verb = command("list", "show networks, and what is attached to them")
    verb.add_argument("network", nargs="?", help="only this one")
    verb.add_argument("--json", action="store_true", help="for programs")
    _add_overlay(commands.add_parser("overlay", help=_OVERLAY, description=_OVERLAY), common)
    return parser


_OVERLAY = "see who is in an overlay, and remove who is dead"


def _add_overlay(parser: argparse.ArgumentParser, common: Parser) -> None:
    acts = parser.add_subparsers(dest="act", required=True, metavar="COMMAND")
    for name, about in (
        ("nodes", "show the hosts of an overlay, and which of them are alive"),
        ("state", "ask this host's watcher how it keeps up with the others"),
        ("reclaim", "give up a dead host: its subnets and addresses are free for others then"),
        ("restore", "enter this host again, with the subnets it had, after etcd has lost it"),
    ):
        act = acts.add_parser(name, help=about, description=about, parents=[common])
        act.add_argument("network", help="the network's name, or its file, with a slash")
        if name == "reclaim":
            act.add_argument("node", help="its name in etcd, as `nodes` shows it")
        act.add_argument("--json", action="store_true", help="for programs")


def _add_gc(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("network", help="the network's name, or its file, with a slash")
    verb.add_argument("netns", nargs="?", help="ignored; the reference's cnitool wants it")
    which = verb.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--keep",
        action="append",
        metavar="CONTAINER[:IFNAME]",
        help="an attachment that is valid, by the container's id or the path of its namespace; "
        "may be repeated",
    )
    which.add_argument("--all", action="store_true", help="none is valid: remove all of them")
