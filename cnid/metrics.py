"""Prometheus's text over HTTP, on a unix socket or a loopback port, when asked for."""

from __future__ import annotations

import ipaddress
import os
import socket

_REQUEST_SECONDS = 1.0


def listen(address: str) -> socket.socket:
    """Listen at `unix:PATH` or `ADDRESS:PORT`. Raises OSError, ValueError unless it is loopback."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        os.chmod(path, 0o600)
    else:
        host, _, port = address.rpartition(":")
        found = ipaddress.ip_address(host.strip("[]"))
        if not found.is_loopback:
            raise ValueError(
                f"{address}: expected a loopback address, 127.0.0.1:PORT or [::1]:PORT"
            )
        family = socket.AF_INET if found.version == 4 else socket.AF_INET6
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(found), int(port)))
    listener.listen(8)
    listener.setblocking(False)
    return listener


def respond(listener: socket.socket, text: str) -> None:
    """Answer one scrape, whatever it asks for. It has a second to say so."""
    try:
        connection, _ = listener.accept()
    except OSError:
        return
    body = text.encode()
    head = (
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with connection:
        connection.settimeout(_REQUEST_SECONDS)
        try:
            connection.recv(4096)
            connection.sendall(head.encode() + body)
        except OSError:  # it went away
            pass
