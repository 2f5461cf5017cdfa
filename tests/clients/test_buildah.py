"""buildah gives each RUN of a Containerfile a network, by the built executables."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import BEYOND
from tests.clients.machine import Filesystem, Machine
from tests.clients.podman import Podman
from tests.kit.namespace import Namespace

PORT = 8000
OPTIONS = ("--root=/run/b/root", "--runroot=/run/b/run", "--storage-driver=vfs")


@pytest.fixture
def page(outside: Namespace, machine: Machine) -> Iterator[str]:
    """Where the machine beyond serves a page that says `beyond`."""
    filesystem = Filesystem(machine.directory, "beyond")
    argv = (str(filesystem.path / "bin" / "busybox"), "httpd", "-f", "-p", str(PORT))
    server = outside.popen(*argv, "-h", str(filesystem.path / "www"))
    yield f"http://{BEYOND[0]}:{PORT}/"
    server.kill()
    server.wait()


def build(podman: Podman, *steps: str, options: tuple[str, ...] = ()) -> Any:
    """`buildah build` from nothing but busybox, with podman's settings; how it ended."""
    machine = podman.machine
    context = machine.directory / "context"
    if not context.exists():
        Filesystem(context, "image")
    lines = ["FROM scratch", "COPY image /", *(f"RUN {step}" for step in steps)]
    (context / "Containerfile").write_text("\n".join(lines) + "\n")
    where = ("--cgroup-parent", f"/{machine.cgroup}", "--ulimit=nproc=1024:1024")
    argv = ("buildah", *OPTIONS, "build", "--layers=false", *where, *options, str(context))
    done: subprocess.CompletedProcess[str] = machine.attempt(*argv, environ=podman.environ)
    return done


def test_every_step_has_a_network(machine: Machine, page: str) -> None:
    """The default network, which buildah makes up as podman does, and one of a name."""
    podman = Podman(machine)
    machine.host.share_bridge("cni-podman?")
    podman.create("mine", "--subnet", "10.89.7.0/24")
    ask = f"busybox wget -qO - {page}; busybox ip -4 -o address show dev eth0"
    for options, subnet in (((), "10.88.0."), (("--network=mine",), "10.89.7.")):
        done = build(podman, ask, ask, options=options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("beyond") == 2, done.stdout
        assert done.stdout.count(f"inet {subnet}") == 2, done.stdout


def test_a_step_that_fails_leaves_no_network(machine: Machine, page: str) -> None:
    podman = Podman(machine)
    machine.host.share_bridge("cni-podman?")
    done = build(podman, f"busybox wget -qO - {page}; exit 7")
    assert "exit status 7" in done.stderr
    assert "beyond" in done.stdout
