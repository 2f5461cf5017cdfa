"""How a config says which etcd to use: the keys, read and checked, and the way to the client.

The keys stand in the section that names etcd: `peers` of vxlan, `ipam` of etcd-ipam. Reading them
imports no client: what costs 30 ms is loaded by the call that does connect.
"""

from __future__ import annotations

import os
import stat

from cni.errors import INVALID_CONFIG, TRY_AGAIN_LATER, CniError, notes
from cni.jsonvalue import wrong_value
from cni.names import name_problem
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from cni.jsonvalue import JsonObject
    from etcd_json import Etcd

PREFIX = "/pycni/"
"""The keys of each network are below this and its name, where nothing else is configured."""

_LARGEST_PASSWORD = 4096
_TLS_KEYS = ("ca", "cert", "key")
_NO_NAMES = ("localhost", "localhost.localdomain")
"""Host names that several hosts of one cluster may have: each would free the others' addresses."""


@record
class Settings:
    """An etcd cluster, and a network's and a node's place in it.

    place: of the section in the config, such as `ipam`, for errors. endpoints: URLs. prefix: of
    every key, without a slash at the end. node: this host's name, fit to be a part of a key. ca,
    cert, key: paths of PEM files, empty for none; the key may be in the file of cert. password,
    password_file: at most one of them is not empty.
    """

    place: str
    endpoints: tuple[str, ...]
    prefix: str
    node: str
    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password: str = ""
    password_file: str = ""

    def __repr__(self) -> str:
        """Without the password: a repr ends in logs and in assertions."""
        return f"Settings({self.place!r}, {self.endpoints!r}, {self.prefix!r}, {self.node!r})"

    def connect(self, timeout: float = 5.0) -> Etcd:
        """A client; nothing is sent yet. timeout: seconds for each request.

        Raises CniError(INVALID_CONFIG) for the password's file, and EtcdError.
        """
        password = self._read_password() if self.password_file else self.password
        from etcd_json import Etcd

        return Etcd(
            self.endpoints,
            ca=self.ca,
            cert=self.cert,
            key=self.key,
            user=self.user,
            password=password,
            timeout=timeout,
        )

    def session(self, timeout: float = 5.0) -> Session:
        """`with settings.session() as etcd:`, whose body's EtcdErrors leave it as CniErrors."""
        return Session(self, timeout)

    def explained(self, error: OSError) -> CniError:
        """What a call answers for one of the client's errors (`EtcdError`).

        TRY_AGAIN_LATER; INVALID_CONFIG where etcd refuses this user, certificate or name, and
        repeating the call would not mend it.
        """
        from etcd_json import Denied

        if isinstance(error, Denied):
            return CniError(INVALID_CONFIG, f"{self._keys_of_access()}: {error}", notes(error))
        place = self._key("endpoints")
        return CniError(TRY_AGAIN_LATER, f'key "{place}": {error}', notes(error))

    def _keys_of_access(self) -> str:
        """The keys that decide what etcd allows; those that are not set may be what is missing."""
        names = [name for name in ("user", *_TLS_KEYS) if getattr(self, name)]
        if self.user:
            names.append("passwordFile" if self.password_file else "password")
        return "keys " + ", ".join(f'"{self._key(name)}"' for name in names or ("user", "ca"))

    def _key(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _read_password(self) -> str:
        """Refused where anybody on the host may read or replace it, as ssh does with its keys."""
        path = self.password_file
        expected = "a file of one line that only root can read"
        try:
            with open(path, "rb", opener=_open_unhurried) as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_LARGEST_PASSWORD + 1)
        except OSError as error:
            raise self._wrong_file(f"cannot be read ({error.strerror})", expected) from error
        if not stat.S_ISREG(mode):
            raise self._wrong_file("is no plain file", expected)
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            problem = f"has mode {stat.S_IMODE(mode):04o}, which lets others use it"
            raise self._wrong_file(problem, f"0600: chmod 600 {path}")
        try:
            password = content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            password = ""
        if not password or not password.isprintable() or len(content) > _LARGEST_PASSWORD:
            raise self._wrong_file(f"holds {len(content)} bytes that are no password", expected)
        return password

    def _wrong_file(self, problem: str, expected: str) -> CniError:
        msg = f'key "{self._key("passwordFile")}": {self.password_file} {problem}'
        return CniError(INVALID_CONFIG, f"{msg}, expected {expected}")


def _open_unhurried(path: str, flags: int) -> int:
    """Open without waiting for the other end of a FIFO, which would hang the call."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)


class Session:
    """A connection for the length of a `with`, which tells a config's user what went wrong."""

    __slots__ = ("_etcd", "_settings", "_timeout")

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout

    def __enter__(self) -> Etcd:
        """Raises CniError."""
        try:
            self._etcd = self._settings.connect(self._timeout)
        except OSError as error:
            raise self._settings.explained(error) from error
        return self._etcd

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from etcd_json import EtcdError

        self._etcd.close()
        if isinstance(error, EtcdError):
            raise self._settings.explained(error) from error


# ---- reading -------------------------------------------------------------------------------------


def read(section: JsonObject, network: str) -> Settings:
    """The connection keys of a section; files are looked at when it comes to connecting.

    network: the network's checked name, for the default prefix. Raises CniError(INVALID_CONFIG)
    that names the key.
    """
    endpoints = _read_endpoints(section)
    settings = Settings(
        place=section.where,
        endpoints=endpoints,
        prefix=_read_prefix(section, network),
        node=_read_node(section),
        ca=_read_path(section, "ca"),
        cert=_read_path(section, "cert"),
        key=_read_path(section, "key"),
        user=section.string("user"),
        password=_read_password(section),
        password_file=_read_path(section, "passwordFile"),
    )
    _refuse_halves(section)
    plain = next((one for one in endpoints if one.startswith("http://")), None)
    tls = next((name for name in _TLS_KEYS if section.string(name)), None)
    if plain is not None and tls is not None:
        raise section.wrong(tls, f'"https://" in every one of the endpoints, and {plain} is not')
    return settings


def _read_password(section: JsonObject) -> str:
    try:
        return section.string("password")
    except CniError:  # whose message shows the value
        place = section.place("password")
        raise CniError(INVALID_CONFIG, f'key "{place}": found no text, expected a string') from None


def _refuse_halves(section: JsonObject) -> None:
    """Refuse half of a pair, and two of a kind."""
    cert, key, user = map(section.string, ("cert", "key", "user"))
    secrets = [name for name in ("password", "passwordFile") if section.string(name)]
    if key and not cert:
        raise section.wrong("cert", 'a PEM file with the certificate of "key"')
    if len(secrets) == 2:
        place = section.place("password")
        raise CniError(
            INVALID_CONFIG, f'key "{place}": found beside "passwordFile", expected one of them'
        )
    if user and not secrets:
        raise section.wrong("passwordFile", 'a file with the password of "user"')
    if secrets and not user:
        raise section.wrong("user", f'the name that "{secrets[0]}" belongs to')


def _read_endpoints(section: JsonObject) -> tuple[str, ...]:
    from etcd_json.endpoint import Endpoint

    texts = section.strings("endpoints")
    if not texts:
        raise section.wrong("endpoints", 'a list of URLs such as ["https://192.0.2.1:2379"]')
    for index, text in enumerate(texts):
        try:
            Endpoint(text)
        except ValueError as error:
            place = f"{section.place('endpoints')}[{index}]"
            expected = f"a URL such as https://192.0.2.1:2379 ({error})"
            raise wrong_value(place, text, expected) from None
    return tuple(dict.fromkeys(texts))


def _read_prefix(section: JsonObject, network: str) -> str:
    given = section.string("prefix")
    prefix = (given or f"{PREFIX}{network}").removesuffix("/")
    parts = prefix.split("/")
    if parts[0] or not all(part and part.isprintable() for part in parts[1:]) or not parts[1:]:
        raise section.wrong("prefix", f'a path of keys such as "{PREFIX}{network}"')
    return prefix


def _read_node(section: JsonObject) -> str:
    given = section.string("node")
    node = given or os.uname().nodename
    if not given and node in _NO_NAMES:
        problem = "which every host may have"
    elif name_problem(node):
        problem = name_problem(node)
    else:
        return node
    if given:
        raise section.wrong("node", f"a name that only this host has ({problem})")
    raise section.wrong(
        "node", f'a name that only this host has, since the host\'s own is "{node}" ({problem})'
    )


def _read_path(section: JsonObject, key: str) -> str:
    path = section.string(key)
    if path and not path.startswith("/"):
        raise section.wrong(key, "a path that begins with /")
    return path
