"""A real etcd in a namespace, Debian's `etcd-server`: with TLS, users, deaths and returns.

with EtcdServer(host, tmp_path / "etcd", "192.0.2.9") as etcd:
    client = Etcd([etcd.url])  # from within a namespace that reaches the address
    etcd.kill()
    etcd.start()
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from etcd_json.document import base64, revision, span
from etcd_json.session import Session
from tests.kit.namespace import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.document import Document

START_SECONDS = 20
STOP_SECONDS = 10
LOG_SHOWN = 3000

_OPENSSL = (
    *("openssl", "req", "-x509", "-days", "2"),
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
)
# One that is alone waits for up to two election time-outs before it leads; a login with the usual
# cost of the password's hash takes 70 ms.
_QUICK = ("--heartbeat-interval=10", "--election-timeout=50", "--bcrypt-cost=4")
PATIENT = ("--heartbeat-interval=20", "--election-timeout=200")
"""Options for members of a cluster, which lose each other on a busy machine otherwise."""


class Files(NamedTuple):
    """Paths of PEM files, as `Etcd` takes them: `Etcd(…, **files._asdict())`."""

    ca: str = ""
    cert: str = ""
    key: str = ""


class Authority:
    """A certificate authority in a directory, by openssl(1)."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / f"{name}.crt"
        self._key = directory / f"{name}.key"
        _openssl(self.ca, self._key, f"/O={name}", "-addext", "keyUsage=critical,keyCertSign")

    def issue(
        self,
        name: str,
        *alternatives: str,
        subject: str = "",
        uses: str = "serverAuth,clientAuth",
    ) -> Files:
        """A certificate for both sides; its subject has no CN unless `subject` says so.

        alternatives: `IP:192.0.2.9`, `DNS:etcd1`. uses: of extendedKeyUsage.
        """
        cert, key = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        extensions = [f"extendedKeyUsage={uses}"]
        if alternatives:
            extensions.append(f"subjectAltName={','.join(alternatives)}")
        options = [one for text in extensions for one in ("-addext", text)]
        signer = ["-CA", str(self.ca), "-CAkey", str(self._key)]
        _openssl(cert, key, subject or f"/O={name}", *options, *signer)
        return Files(str(self.ca), str(cert), str(key))

    def expire(self, files: Files) -> Files:
        """The same certificate, whose time is over."""
        request, cert = f"{files.cert}.request", f"{files.cert}.expired"
        signer = ("-CA", str(self.ca), "-CAkey", str(self._key), "-days", "-1")
        for options in (
            ("-x509toreq", "-in", files.cert, "-signkey", files.key, "-out", request),
            ("-req", "-in", request, *signer, "-out", cert),
        ):
            command = ("openssl", "x509", "-copy_extensions", "copy", *options)
            subprocess.run(command, check=True, capture_output=True)
        return files._replace(cert=cert)


def _openssl(cert: Path, key: Path, subject: str, *options: str) -> None:
    made = subprocess.run(
        [*_OPENSSL, "-subj", subject, "-keyout", str(key), "-out", str(cert), *options],
        text=True,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


class User(NamedTuple):
    """One who may read and write the keys that start with `prefix`."""

    name: str
    password: str
    prefix: str


class EtcdServer:
    """One member, listening on one address; started by `start` or `with`, its data in `directory`.

    files: its certificate, for https. wants_certificate: of its clients. port: the next one is its
    peers'. cluster: the names and peer URLs of all members, for more than one. options: more of
    etcd's own.
    """

    def __init__(
        self,
        ns: Namespace,
        directory: Path,
        address: str = "127.0.0.1",
        *,
        port: int = 2379,
        files: Files | None = None,
        wants_certificate: bool = False,
        name: str = "etcd",
        cluster: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'https' if files else 'http'}://{host}:{port}"
        self.peer_url = f"http://{host}:{port + 1}"
        self.directory = directory
        self._ns = ns
        self._files = files or Files()
        self._root = ""
        self._process: subprocess.Popen[str] | None = None
        members = cluster or {name: self.peer_url}
        self._argv = [
            "etcd",
            f"--name={name}",
            f"--data-dir={directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={','.join(f'{one}={url}' for one, url in members.items())}",
            *_QUICK,
            *options,
        ]
        if files:
            self._argv += [f"--cert-file={files.cert}", f"--key-file={files.key}"]
        if files and wants_certificate:
            self._argv += ["--client-cert-auth", f"--trusted-ca-file={files.ca}"]

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process, "etcd does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it with the data it has; done when it says that it serves."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it without waiting: a member of a cluster that waits for the others."""
        assert not self._process, "etcd runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._ready = self._ns.run(_notify_socket)
        # etcd tells systemd when it is ready (sd_notify(3)); a name in the namespace itself is not
        # bound by the length of the path of a temporary directory.
        name = self._ready.getsockname().replace(b"\0", b"@").decode()
        with (self.directory / "log").open("ab") as log:
            self._process = self._ns.popen(
                *self._argv, stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": name}
            )

    def wait(self) -> None:
        """Wait until it serves; AssertionError with the end of its log if it does not."""
        with self._ready as ready:
            ended = os.pidfd_open(self.pid)
            try:
                found, _, _ = select.select([ready.fileno(), ended], [], [], START_SECONDS)
            finally:
                os.close(ended)
            is_ready = ready.fileno() in found
        if not is_ready:
            self.kill()
            raise AssertionError(f"etcd did not start: {self.log()[-LOG_SHOWN:]}")

    def stop(self) -> None:
        """End it as an init system does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power failure does; no error if it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if process := self._process:
            process.send_signal(how)
            process.wait(STOP_SECONDS)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Remove the data of one that is stopped: it starts as a new cluster."""
        assert not self._process, "stop it first"
        shutil.rmtree(self.directory / "data")
        self._root = ""

    def suspend(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # all of its threads, one of which may run

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def wait_log(self, pattern: str) -> None:
        """Wait until a line of its log matches a regular expression."""
        tail = ["tail", "--lines=+1", "--follow", str(self.directory / "log")]
        with subprocess.Popen(tail, text=True, stdout=subprocess.PIPE) as follower:
            assert follower.stdout
            alarm = threading.Timer(START_SECONDS, follower.kill)
            alarm.start()
            is_found = any(re.search(pattern, line) for line in follower.stdout)
            alarm.cancel()
            alarm.join()
            follower.kill()
        assert is_found, f"no {pattern!r} in {self.log()[-LOG_SHOWN:]}"

    def connections(self) -> set[int]:
        """The descriptors it has open for sockets."""
        fds = Path(f"/proc/{self.pid}/fd")
        return {int(one.name) for one in fds.iterdir() if "socket" in os.readlink(one)}

    def compact(self) -> int:
        """Forget the history up to now; the revision that is the oldest from now on."""
        now = revision(self.call("kv/range", {"key": base64("compact")}))
        self.call("kv/compaction", {"revision": str(now), "physical": True})
        return now

    def enable_auth(self, *users: User, root: str = "root's password") -> None:
        """Switch users on: `root` with its password and those given, each with its prefix."""
        self.call("auth/user/add", {"name": "root", "password": root})
        self.call("auth/user/grant", {"user": "root", "role": "root"})
        for user in users:
            self.add_user(user)
        self.call("auth/enable", {})
        self._root = root

    def add_user(self, user: User) -> None:
        permission: Document = {"permType": "READWRITE", **span(user.prefix)}
        self.call("auth/role/add", {"name": user.name})
        self.call("auth/role/grant", {"name": user.name, "perm": permission})
        self.call("auth/user/add", {"name": user.name, "password": user.password})
        self.call("auth/user/grant", {"user": user.name, "role": user.name})

    def call(self, path: str, message: Document) -> Document:
        """Ask its gateway, below /v3/, as root and from within its namespace."""
        user = "root" if self._root else ""

        def ask() -> Document:
            session = Session([self.url], self._files, user, self._root, STOP_SECONDS)
            try:
                return session.call(f"/v3/{path}", message, path, changes=True)
            finally:
                session.close()

        return self._ns.run(ask)


def _notify_socket() -> socket.socket:
    """A datagram socket with a name of the kernel's choice, in the namespace of the caller."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind("")
    return made
