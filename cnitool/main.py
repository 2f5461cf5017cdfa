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
from cnitool import completion
from cnitool.commands import COMMANDS
from cnitool.settings import read_settings
from libcni.runtime import DEFAULT_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn

ABOUT = "Attach network namespaces to CNI networks, and find out what is wrong with them."
ENVIRONMENT = """\
environment:
  CNI_PATH      directories with the plugins (default /opt/cni/bin:/usr/lib/cni)
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
    grammar = parser()
    completion.answer(grammar)
    options = _options(grammar, argv)
    try:
        settings = read_settings(os.environ, options.ifname, options.cache_dir, options.timeout)
        status: int = options.run(settings, options)
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
    except OSError as error:  # the kernel's, in the words of whoever asked it
        sys.stderr.write(f"cnitool: {error}\n")
        return _FAILED


def _options(grammar: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; exits where they are wrong."""
    options = grammar.parse_args(argv)
    for name in ("network", "netns"):
        # Before Python 3.13 argparse makes an empty list of one that is a second "--".
        if isinstance(getattr(options, name, None), list):
            grammar.error(f'argument {name}: found "--" once more, expected a {name}')
    return options


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    # Once: a second one must not cut the undoing short.
    for each in _KEPT_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)


def parser() -> Parser:
    """The whole grammar."""
    made = Parser(
        prog="cnitool",
        description=ABOUT,
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"cnitool {__version__} (CNI {CURRENT})"
    made.add_argument("--version", action="version", version=version)
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
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for one in COMMANDS:
        verb = commands.add_parser(
            one.name, help=one.about, description=one.about, parents=[common]
        )
        one.arguments(verb, common)
        verb.set_defaults(run=one.run)
    return made
