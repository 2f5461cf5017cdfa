"""Debian's firewalld on a bus of its own, in the throwaway host's namespace."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.kit.host import Host

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_SECONDS = 30


class SystemBus:
    """`with SystemBus(host, directory) as bus:` a dbus-daemon; `address` is how it is found."""

    def __init__(self, host: Host, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._socket = directory / "bus"
        config = directory / "bus.conf"
        config.write_text(_BUS.format(socket=self._socket))
        self.address = f"unix:path={self._socket}"
        self._process = host.popen(
            "dbus-daemon",
            f"--config-file={config}",
            "--nofork",
            "--nopidfile",
            "--print-address",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def environ(self) -> dict[str, str]:
        return {"DBUS_SYSTEM_BUS_ADDRESS": self.address}

    def __enter__(self) -> SystemBus:
        assert self._process.stdout
        assert self._process.stdout.readline(), "dbus-daemon ended"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _end(self._process)


class Firewalld:
    """`with Firewalld(host, bus, directory) as firewalld:` it runs, with its defaults."""

    def __init__(self, host: Host, bus: SystemBus, directory: Path) -> None:
        self._host = host
        self._environ = {**os.environ, **bus.environ}
        self._log = directory / "firewalld.log"
        settings = directory / "etc-firewalld"
        settings.mkdir(exist_ok=True)
        self._process = host.popen(
            "firewalld",
            "--nofork",
            "--nopid",
            f"--log-file={self._log}",
            f"--system-config={settings}",
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def command(self, *args: str) -> str:
        """`firewall-cmd ARGS`; what it prints."""

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["firewall-cmd", *args],
                env=self._environ,
                text=True,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
            )

        return self._host.run(run).stdout.strip()

    def sources(self, zone: str = "trusted") -> set[str]:
        return set(self.command("--zone", zone, "--list-sources").split())

    def __enter__(self) -> Firewalld:
        # firewall-cmd waits for an answer, so this asks some ten times a second.
        deadline = time.monotonic() + _SECONDS
        while self.command("--state") != "running":
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "firewalld does not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _end(self._process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_SECONDS)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
