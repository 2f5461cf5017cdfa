"""`cnid`: run the daemon in the foreground; `cnid status`: ask it; `cnid overlay`: see there."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import time

from cni import __version__
from cni.bundle import Bundle
from cni.journal import log
from cnid import status
from cnid.guard import Guard
from cnid.heal_supervisor import HealSupervisor
from cnid.listen import claim, listen_metrics, listen_unix
from cnid.overlay_configs import DIRECTORY
from cnid.overlay_supervisor import OverlaySupervisor
from cnid.pool import Pool, open_descriptors
from cnid.preload import preload
from cnid.protocol import BUILD_LONGEST
from cnid.server import PATIENCE_SECONDS, Server
from hostnet import daemon, nft
from libcni.cache import DEFAULT_DIRECTORY as CACHE_DIRECTORY
from libcni.heal import Healer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cni.skel import Plugin

SOCKET = "/run/cni/cnid.sock"
WORKERS = 6
CALLS = 1000
REST_SECONDS = 10.0


def main(
    plugins: Mapping[str, Callable[[], Plugin]], build: str, arguments: list[str] | None = None
) -> int:
    """The command; gives its exit status. build: what launchers must be of too."""
    given = sys.argv[1:] if arguments is None else arguments
    asked = _parser().parse_args(given)
    path: str = asked.socket
    if asked.command == "status":
        return status.show(path, as_json=asked.json)
    try:
        if asked.command == "overlay":
            from cnid import overlay

            _open_standard_streams()
            return overlay.run(asked.conf_dir, until_eof=asked.until_eof)
        itself = sys.orig_argv[: len(sys.orig_argv) - len(given)]
        return _serve(plugins, build, asked, path, OverlaySupervisor(asked.conf_dir, itself))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cnid: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnid", description="Keeps CNI plugins warm.")
    default = os.environ.get("CNID_SOCKET") or SOCKET
    _add_socket(parser, default, default)
    parser.add_argument("--version", action="version", version=f"cnid, pycni {__version__}")
    parser.add_argument(
        "--workers", type=_count, default=WORKERS, help=f"calls served at once ({WORKERS})"
    )
    parser.add_argument(
        "--calls",
        type=_count,
        default=CALLS,
        help=f"calls after which a worker is replaced ({CALLS})",
    )
    parser.add_argument(
        "--rest",
        type=float,
        default=REST_SECONDS,
        metavar="SECONDS",
        help="without a call, after which workers that a crowd of calls has made grow are replaced "
        f"({REST_SECONDS:g}); the one that served last stays",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        metavar="SECONDS",
        help="when all workers are busy and none ends a call for so long, those who wait run cold "
        f"({PATIENCE_SECONDS:g})",
    )
    parser.add_argument(
        "--metrics", metavar="ADDRESS", help="Prometheus at unix:PATH or 127.0.0.1:PORT"
    )
    _add_conf_dir(parser, DIRECTORY)
    _add_heal(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    asking = commands.add_parser("status", help="what a running daemon has done")
    _add_socket(asking, argparse.SUPPRESS, default)  # which leaves what stands before `status`
    asking.add_argument("--json", action="store_true", help="for programs")
    keeping = commands.add_parser(
        "overlay",
        help="keep overlay networks in step with their peers; the daemon does this by itself",
    )
    _add_conf_dir(keeping, argparse.SUPPRESS)
    keeping.add_argument(
        "--until-eof", action="store_true", help="end when standard input does, as with the daemon"
    )
    return parser


def _add_conf_dir(parser: argparse.ArgumentParser, default: str) -> None:
    what = f"network configurations, whose overlays are kept ({DIRECTORY}); empty for none"
    parser.add_argument("--conf-dir", metavar="DIRECTORY", default=default, help=what)


def _add_heal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache-dir",
        metavar="DIRECTORY",
        action="append",
        help=f"results cache of a runtime, whose running containers are healed ({CACHE_DIRECTORY});"
        " may be repeated; empty for no healing",
    )
    parser.add_argument(
        "--bin-dir",
        metavar="DIRECTORY",
        default=os.path.dirname(os.path.abspath(sys.argv[0])),
        help="where the runtime has its plugins (%(default)s): those that are of this suite heal",
    )


def _healing(
    plugins: Mapping[str, Callable[[], Plugin]], asked: argparse.Namespace
) -> Callable[[], Healer] | None:
    """What makes the one that heals; None where it is switched off."""
    given: list[str] | None = asked.cache_dir
    caches = [one for one in given or [CACHE_DIRECTORY] if one]
    bundle = Bundle(plugins, os.path.join(asked.bin_dir, "cnid"))
    if not caches:
        return None
    return lambda: Healer(bundle, [asked.bin_dir], caches, os.environ)


def _add_socket(parser: argparse.ArgumentParser, default: str, shown: str) -> None:
    where = f"where launchers connect ({shown})"
    parser.add_argument("--socket", metavar="PATH", default=default, help=where)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected an integer, at least 1")
    return number


def _serve(
    plugins: Mapping[str, Callable[[], Plugin]],
    build: str,
    asked: argparse.Namespace,
    path: str,
    supervisor: OverlaySupervisor,
) -> int:
    if len(build) > BUILD_LONGEST:
        raise ValueError(f"the build {build!r} has more than {BUILD_LONGEST} characters")
    _open_standard_streams()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    listener = daemon.inherited_socket(socket.SOCK_SEQPACKET)
    _import_all(plugins)
    keep = open_descriptors() - ({listener.fileno()} if listener else set())
    if listener is not None:
        path = listener.getsockname()
    with _about(f"socket {path}"):
        claimed = claim(path)
    made: list[str] = []
    try:
        if listener is None:
            with _about(f"socket {path}"):
                listener = listen_unix(path, socket.SOCK_SEQPACKET)
            made.append(path)
        guard = Guard(build, plugins)
        pool = Pool(
            plugins,
            listener,
            guard,
            size=asked.workers,
            calls=asked.calls,
            rested=asked.rest,
            keep=keep,
        )
        pool.prepare()
        with _about(f"metrics at {asked.metrics}"):
            scraped = listen_metrics(asked.metrics) if asked.metrics else None
        if scraped is not None and scraped.family == socket.AF_UNIX:
            made.append(scraped.getsockname())
        alive = _Watchdog(daemon.watchdog_seconds())
        server = Server(
            listener,
            build,
            guard,
            pool,
            metrics=scraped,
            notify=daemon.notify,
            alive=alive,
            supervisor=supervisor,
            healer=HealSupervisor(_healing(plugins, asked), keep),
            tick=alive.every,
            patience=asked.patience,
        )
        log("serving", socket=path, build=build, workers=asked.workers)
        server.run()
    finally:
        for one in made:
            try:
                os.unlink(one)
            except FileNotFoundError:  # somebody was faster
                pass
        os.close(claimed)
    return 0


@contextlib.contextmanager
def _about(what: str) -> Iterator[None]:
    """Name what the kernel refused, which its error does not: a full disk, a port in use."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{what}: {error.strerror or error}") from error


class _Watchdog:
    """Tells systemd that the daemon lives, twice as often as it wants to hear it.

    every: seconds between the calls it needs.
    """

    def __init__(self, seconds: float) -> None:
        self.every = seconds / 2 or 3600.0
        self._wanted = seconds > 0
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if self._wanted and now >= self._next:
            self._next = now + self.every / 2
            daemon.notify("WATCHDOG=1")


def _open_standard_streams() -> None:
    """Open /dev/null where one is closed: 0, 1 and 2 are lent to calls and must be nothing else."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _import_all(plugins: Mapping[str, Callable[[], Plugin]]) -> None:
    """What any call may need: here once, and not in each worker."""
    packages = {load().add.__module__.partition(".")[0] for load in plugins.values()}
    for name, problem in preload(packages | {"cni", "etcd_json", "hostnet", "wiring"}).items():
        log("cannot import beforehand", module=name, error=problem)
    try:
        nft.load()
    except OSError as error:
        log("plugins that need nftables will fail", error=str(error))
