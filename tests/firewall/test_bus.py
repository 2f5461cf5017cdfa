"""The D-Bus client: with a real dbus-daemon, and with peers that are none."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni_firewall import bus as buses
from cni_firewall.bus import Bus, BusError
from tests.firewall.daemon import SystemBus
from tests.kit.host import Host

DBUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


def test_a_real_bus(host: Host, tmp_path: Path) -> None:
    with SystemBus(host, tmp_path / "dbus") as there, Bus(there.address) as bus:
        assert bus.has("org.freedesktop.DBus")
        assert not bus.has("org.example.Nobody")
        assert bus.call(DBUS, "GetNameOwner", "org.freedesktop.DBus") == "org.freedesktop.DBus"
        with pytest.raises(BusError, match="NameHasNoOwner") as error:
            bus.call(DBUS, "GetNameOwner", "org.example.Nobody")
        assert error.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"
        # Strings of every length, so that everything gets its padding.
        for length in range(1, 30):
            assert not bus.has("org.example." + "x" * length)
        # Nobody is started for a call.
        with pytest.raises(BusError):
            bus.call(("org.example.Nobody", "/", "org.example"), "Do")


def test_several_addresses(host: Host, tmp_path: Path) -> None:
    with SystemBus(host, tmp_path / "dbus") as there:
        address = f"tcp:host=x,port=1;unix:path={tmp_path}/no;{there.address},guid=0"
        with Bus(address) as bus:
            assert bus.has("org.freedesktop.DBus")


@contextmanager
def peer(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener that serves one connection so."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def body() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=body)
        thread.start()
        yield f"unix:path={path}"
        thread.join()


def _say(*answers: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        for answer in answers:
            connection.recv(4096)
            connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        _listen(connection)

    return serve


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((), errno.ECONNRESET),
        ((b"REJECTED KERBEROS\r\n",), errno.EACCES),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), errno.EACCES),
        ((b"OK 0\r\n", b"B" * 16), errno.EPROTO),
        ((b"OK 0\r\n", b"l\2\0\1" + b"\xff" * 12), errno.EPROTO),
        ((b"OK 0\r\n", b"l\2\0\1" + bytes(8)), errno.ECONNRESET),
    ],
)
def test_peers_that_are_no_bus(answers: tuple[bytes, ...], code: int, tmp_path: Path) -> None:
    with (
        peer(tmp_path / "bus", _say(*answers)) as address,
        pytest.raises(OSError, match="the bus") as error,
    ):
        Bus(address)
    assert error.value.errno == code


def test_a_bus_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buses, "ANSWER_SECONDS", 1)
    with (
        peer(tmp_path / "bus", _listen) as address,
        pytest.raises(TimeoutError, match="no answer within 1 s"),
    ):
        Bus(address)


def _listen(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass
