"""An endpoint's URL in its parts."""

from __future__ import annotations

_DEFAULT_PORT = 2379


class Endpoint:
    """`http://host:port` or `https://host:port`; an IPv6 address stands in brackets.

    Without a port it is 2379, etcd's own. Raises ValueError, whose text says what is wrong with
    the URL and not which configuration it came from.
    """

    __slots__ = ("host", "port", "secure", "url")

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in ("http", "https"):
            raise ValueError(f"endpoint {url!r} does not start with http:// or https://")
        self.url = url.rstrip("/")
        self.secure = scheme == "https"
        rest = rest.rstrip("/")
        if rest.startswith("["):
            self.host, bracket, port = rest[1:].partition("]")
            is_whole = bracket and (not port or port.startswith(":"))
            port = port[1:]
        else:
            self.host, _, port = rest.partition(":")
            is_whole = ":" not in port
        if not is_whole or not self.host or not _is_plain(self.host):
            raise ValueError(
                f"endpoint {url!r} is no host with a port: write http://192.0.2.1:2379, "
                "http://[2001:db8::1]:2379 or https://name:2379"
            )
        self.port = _port(port, url)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    @property
    def authority(self) -> str:
        """The value of the header `Host`; RFC 6874 takes a zone out of it."""
        host = self.host.partition("%")[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def _is_plain(host: str) -> bool:
    """Whether it has the characters of names and addresses only: it goes into a header."""
    return host.isascii() and all(one.isalnum() or one in "-._:%" for one in host)


def _port(text: str, url: str) -> int:
    if not text:
        return _DEFAULT_PORT
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"endpoint {url!r} has the port {text!r}, expected one from 1 to 65535")
    return int(text)
