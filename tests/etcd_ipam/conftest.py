"""Fixtures of the etcd-ipam tests: one etcd for all of them, and a network of each test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from etcd_json import Etcd
from tests.etcd_ipam.cluster import Keys, Node
from tests.etcd_ipam.proxy import Proxy
from tests.kit.calls import Runtime
from tests.kit.etcd import EtcdServer
from tests.kit.namespace import CLONE_NEWNET, Namespace, libc

_numbers = count()


@pytest.fixture(scope="session")
def where(tmp_path_factory: pytest.TempPathFactory, _private_mounts: None) -> Iterator[Namespace]:
    """The namespace in which etcd is and plugins are called; they change nothing in it."""
    made = Namespace(tmp_path_factory.mktemp("etcd_ipam") / "host")
    yield made
    made.close()


@pytest.fixture(scope="session")
def netns(where: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A container's namespace, which ADD and CHECK must be given and the plugin never enters."""
    made = Namespace(tmp_path_factory.mktemp("etcd_ipam") / "container")
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_server(
    where: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdServer]:
    """An etcd that no test harms."""
    with EtcdServer(where, tmp_path_factory.mktemp("etcd_ipam") / "etcd") as server:
        yield server


@pytest.fixture
def inside(where: Namespace) -> Iterator[Namespace]:
    """The test's thread is in `where`."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    where.enter()
    yield where
    libc("setns", home, CLONE_NEWNET)
    os.close(home)


@pytest.fixture
def server(inside: Namespace, tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of the test's own, to be harmed."""
    with EtcdServer(inside, tmp_path / "etcd", "127.0.0.2") as made:
        yield made


@pytest.fixture
def node(inside: Namespace, shared_server: EtcdServer, netns: Namespace, tmp_path: Path) -> Node:
    """A node of a network of its own, with the range 10.1.2.0/24."""
    return Node(Runtime(tmp_path), netns, shared_server.url, f"net{next(_numbers)}")


@pytest.fixture
def keys(node: Node, shared_server: EtcdServer) -> Iterator[Keys]:
    """What is in etcd of that network."""
    with Etcd([shared_server.url]) as etcd:
        yield Keys(etcd, node.network)


@pytest.fixture
def proxy(node: Node, shared_server: EtcdServer) -> Iterator[Proxy]:
    """Between the node and etcd."""
    with Proxy(shared_server.url) as made:
        node.ipam["endpoints"] = [made.url]
        yield made
