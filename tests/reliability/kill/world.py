"""A host on which one chain's calls are struck again and again, and what each has left is seen."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cni.bundle import Bundle
from cni.skel import obey_signals, serve
from hostnet.monitor import RTNLGRP_LINK, Monitor
from tests.cnid.daemon import IMPORT_PATH
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import SYSTEM_DIRECTORIES, Host
from tests.kit.namespace import CLONE_NEWNET, MS_BIND, Namespace, in_thread, libc, mount
from tests.kit.syscalls import GO, HOLD, Outcome, Run, Strike, Supervisor
from tests.reliability.kill import snapshot
from tests.reliability.kill.chains import FOREIGN, Chain, chains

SETTLED_SECONDS = 2
"""How long the kernel may take to remove what was in a namespace that has gone."""


class Bare(Namespace):
    """A container's namespace, made without starting a program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(exist_ok=False)

        def make() -> None:
            libc("unshare", CLONE_NEWNET)
            mount("/proc/thread-self/ns/net", path, "none", MS_BIND)

        in_thread(make)


def _write_foreign(path: Path) -> None:
    """host-local as somebody else's executable, so that it is a process of its own."""
    path.write_text(
        f"#!{sys.executable} -ISB\n"
        "import sys\n"
        f"sys.path[:0] = {IMPORT_PATH.split(':')!r}\n"
        "from cni.bundle import Bundle\n"
        "from cni.skel import main\n"
        "from cni_bundle.plugins import PLUGINS\n"
        'sys.exit(main("host-local", Bundle(PLUGINS, sys.argv[0])))\n'
    )
    path.chmod(0o755)


class State(NamedTuple):
    """What is there: on the host with all directories, and in the container."""

    host: snapshot.Lines
    container: snapshot.Lines


class World:
    """The host of one chain. `before`: what is there without an attachment, shared things too."""

    def __init__(
        self, host: Host, directory: Path, supervisor: Supervisor, name: str, furnished: bool = True
    ) -> None:
        host.share("*")  # a matrix compares by itself, and more
        self.host = host
        self.chain: Chain = chains(host.state)[name]
        self.supervisor = supervisor
        self._directory = directory
        self._numbers = itertools.count()
        self._runtime = Runtime(directory)
        _write_foreign(self._runtime.path / FOREIGN)
        self._container: Namespace | None = None
        self._results: list[Document] = []
        host.run(Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text, "0")
        self.furnish()
        self._bare = self.container.run(snapshot.of_namespace)
        if furnished:  # what attachments share is there
            self.add()
            self.delete()
        self.before = State(self._look(), self._bare)

    # ---- the host and the container ----

    @property
    def container(self) -> Namespace:
        """The present container."""
        if self._container is None:
            self._container = Bare(self._directory / f"container{next(self._numbers)}")
        return self._container

    def furnish(self) -> None:
        """Give the host what the plugin needs, where it is not there.

        A virtual device that was in a namespace goes with it, when the kernel comes round to that.
        """
        if self.chain.furniture:
            name = self.chain.furniture[0].split()[2]
            if not os.path.exists(f"/proc/sys/net/ipv4/conf/{name}"):
                self._wait_gone(self.chain.furniture[0].split("peer name ")[1].split()[0])
                text = "\n".join(self.chain.furniture)
                subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)

    @staticmethod
    def _wait_gone(name: str) -> None:
        with Monitor(RTNLGRP_LINK) as monitor:
            monitor.until(
                lambda: None if os.path.exists(f"/proc/sys/net/ipv4/conf/{name}") else True,
                20,
                f"the end of {name}",
            )

    def strip(self) -> None:
        """Take from the host what attachments share, as if there had been none yet."""
        for name in ("cni0", "vxlan42", "vxbr42"):
            subprocess.run(["ip", "link", "delete", name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["nft", "flush", "ruleset"], check=True)

    def vanish(self) -> str:
        """Remove the container's namespace; gives the path it had."""
        path = str(self.container)
        self.container.close()
        self._container = None
        return path

    def _look(self) -> snapshot.Lines:
        directories = (self.host.state, *SYSTEM_DIRECTORIES)
        return snapshot.of_namespace() | snapshot.of_directories(directories)

    def state(self) -> State:
        """What is there now."""
        inside = self._bare
        if self._container is not None:
            inside = self._container.run(snapshot.of_namespace)
        return State(self._look(), inside)

    def left(self, before: State | None = None, *, host_only: bool = False) -> list[str]:
        """What is there now and was not before, or was and is not."""
        was, now = before or self.before, self.state()
        found = [f"host: {one}" for one in snapshot.difference(was.host, now.host)]
        if not host_only:
            inside = snapshot.difference(was.container, now.container)
            found += [f"container: {one}" for one in inside]
        return found

    def left_in_the_end(self, *, host_only: bool = False) -> list[str]:
        """The same, when the kernel is through with a namespace that has gone."""
        with Monitor(RTNLGRP_LINK) as monitor:
            try:
                monitor.until(
                    lambda: None if self.left(host_only=host_only) else True,
                    SETTLED_SECONDS,
                    "the end of the namespace",
                )
            except TimeoutError:
                pass
        return self.left(host_only=host_only)

    # ---- calls ----

    def config(self, number: int, **more: object) -> Document:
        """The config of a plugin of the chain, and what goes with it."""
        return {"cniVersion": "1.1.0", "name": "net", **self.chain.plugins[number], **more}

    def environ(self, verb: str, netns: str) -> dict[str, str]:
        """The environment of a call."""
        named = verb in ("ADD", "DEL", "CHECK")
        return {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1" if named else "",
            "CNI_IFNAME": ("lo" if self.chain.name == "loopback" else "eth0") if named else "",
            "CNI_NETNS": netns if named else "",
            "CNI_PATH": str(self._runtime.path),
        }

    def call(self, verb: str, number: int, netns: str, **more: object) -> Document | None:
        """Call a plugin of the chain in this process. Raises PluginError."""
        environ = self.environ(verb, netns)
        return self._runtime.call(verb, self.config(number, **more), environ=environ)

    @property
    def last(self) -> int:
        """The number of the plugin that is struck."""
        return len(self.chain.plugins) - 1

    def prepare(self) -> None:
        """Call ADD of the plugins before it."""
        self.furnish()
        self._results = []
        for number in range(self.last):
            self._add(number)

    def _add(self, number: int) -> None:
        result = self.call("ADD", number, str(self.container), **self.previous())
        assert result is not None
        self._results.append(result)

    def add(self) -> None:
        """Call ADD of the whole chain."""
        self.prepare()
        self._add(self.last)

    def added(self, stdout: bytes) -> None:
        """Take the result of an ADD of the last plugin."""
        self._results.append(json.loads(stdout))

    def previous(self) -> dict[str, object]:
        """What goes with a call's config."""
        return {"prevResult": self._results[-1]} if self._results else {}

    def check(self) -> None:
        """Call CHECK of the last plugin."""
        self.call("CHECK", self.last, str(self.container), prevResult=self._results[-1])

    def delete(self, netns: str | None = None, *, from_number: int | None = None) -> None:
        """Call DEL of the whole chain, as a runtime does: with the last result if it has one.

        from_number: the first that is called, the last one of the chain unless it is given.
        """
        whole = len(self._results) > self.last
        after = {"prevResult": self._results[-1]} if whole else {}
        path = str(self.container) if netns is None else netns
        errors: list[PluginError] = []
        for number in range(self.last if from_number is None else from_number, -1, -1):
            try:
                self.call("DEL", number, path, **after)
            except PluginError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def collect(self) -> None:
        """Call GC of the whole chain, with no attachment valid."""
        for number in range(self.last + 1):
            self.call("GC", number, "", **{"cni.dev/valid-attachments": []})

    def strike(self, verb: str, at: int = 0, strike: Strike = GO) -> Outcome:
        """Call a verb of the last plugin as a process of its own, and strike it."""
        target = self._door(verb, str(self.container), self.previous())
        return self.supervisor.run(target, at=at, strike=strike)

    def start(self, verb: str, at: int) -> Run:
        """The same, to be held there."""
        target = self._door(verb, str(self.container), self.previous())
        return self.supervisor.start(target, at=at, strike=HOLD)

    def _door(self, verb: str, netns: str, more: dict[str, object]) -> Callable[[], int]:
        config = self.config(self.last, **more)
        environ = self.environ(verb, netns)
        stdin = io.BytesIO(json.dumps(config).encode())
        bundle: Bundle = self._runtime.bundle

        def door() -> int:
            stdout = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
            return serve(config["type"], bundle, environ, stdin, stdout, obey=obey_signals)

        return door

    def close(self) -> None:
        """Give the machine back what it had."""
        if self._container is not None:
            self._container.close()
        shutil.rmtree("/run/cni/ipam-index", ignore_errors=True)
