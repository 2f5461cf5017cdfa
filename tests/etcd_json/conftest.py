"""An etcd for most tests together, in a namespace of theirs; one of its own for a test that kills.

etcd, shared       a client, its server; the test is in `home`
client, server     the same, only for this test; the test is in `host`
proxy              before `shared`
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_json import Etcd
from etcd_json.document import span
from tests.etcd_json.proxy import Proxy
from tests.kit.etcd import Authority, EtcdServer
from tests.kit.host import Host
from tests.kit.namespace import CLONE_NEWNET, Namespace, libc


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    made = Namespace(tmp_path_factory.mktemp("etcd") / "home")
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared(_home: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(_home, tmp_path_factory.mktemp("etcd") / "shared") as made:
        yield made


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def secure(
    _home: Namespace, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdServer]:
    """Speaks TLS and takes anybody."""
    files = authority.issue("secure", "IP:127.0.0.1")
    directory = tmp_path_factory.mktemp("etcd") / "secure"
    with EtcdServer(_home, directory, port=4379, files=files) as made:
        yield made


@pytest.fixture(scope="session")
def strict(
    _home: Namespace, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdServer]:
    """Wants a certificate of its clients."""
    files = authority.issue("strict", "IP:127.0.0.1")
    directory = tmp_path_factory.mktemp("etcd") / "strict"
    with EtcdServer(_home, directory, port=5379, files=files, wants_certificate=True) as made:
        yield made


@pytest.fixture
def home(_home: Namespace, _leak_check: None) -> Iterator[Namespace]:
    """The shared server's namespace, with the test in it."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _home.enter()
    yield _home
    libc("setns", outside, CLONE_NEWNET)
    os.close(outside)


@pytest.fixture
def etcd(home: Namespace, shared: EtcdServer) -> Iterator[Etcd]:
    """A client of an etcd that is empty, though not at its first revision."""
    with Etcd([shared.url]) as made:
        yield made
        shared.call("kv/deleterange", span(""))


@pytest.fixture
def proxy(home: Namespace) -> Iterator[Proxy]:
    """Stands before the shared server and passes everything on until told otherwise."""
    with Proxy(2379) as made:
        yield made


@pytest.fixture
def server(host: Host, tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(host, tmp_path / "etcd") as made:
        yield made


@pytest.fixture
def client(server: EtcdServer) -> Iterator[Etcd]:
    with Etcd([server.url]) as made:
        yield made
