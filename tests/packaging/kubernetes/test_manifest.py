"""The DaemonSet: valid, and what it leaves cnid is enough to serve the node's own callers.

The schema is Kubernetes' own for apps/v1 of v1.37.0, strict (no unknown keys), as one file and
without descriptions: the package that ships it has 22 MB.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from cni import __version__
from cnid.status import ask
from tests.cnid.daemon import wait_until
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.conftest import built

__all__ = ["built"]

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 20
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def manifest() -> Any:
    return yaml.safe_load((ROOT / "packaging/kubernetes/pycni.yaml").read_text())


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    return Draft7Validator(json.loads((HERE / "daemonset-apps-v1.37.0-strict.json").read_text()))


def test_kubernetes_takes_it(manifest: Any, validator: Draft7Validator) -> None:
    assert [one.message for one in validator.iter_errors(manifest)] == []


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (("spec", "template", "spec"), "hostNetwrok", True),
        (("spec", "template", "spec", "containers", 0), "command", "cnid"),
        (("metadata",), "name", 5),
    ],
)
def test_the_schema_would_find_a_mistake(
    manifest: Any,
    validator: Draft7Validator,
    where: tuple[str | int, ...],
    key: str,
    value: object,
) -> None:
    changed = json.loads(json.dumps(manifest))
    place = changed
    for step in where:
        place = place[step]
    place[key] = value
    assert list(validator.iter_errors(changed))


def test_images_are_of_this_version(manifest: Any) -> None:
    pod = manifest["spec"]["template"]["spec"]
    images = {one["image"] for one in [*pod["initContainers"], *pod["containers"]]}
    assert images == {f"pycni:{__version__}"}


def test_cnid_has_what_its_unit_leaves_it_and_may_enter(manifest: Any) -> None:
    unit = (ROOT / "packaging/systemd/cnid.service").read_text()
    (line,) = (one for one in unit.splitlines() if one.startswith("CapabilityBoundingSet="))
    names = {one.removeprefix("CAP_") for one in line.partition("=")[2].split()}
    given = cnid_of(manifest)["securityContext"]["capabilities"]
    assert given["drop"] == ["ALL"]
    assert set(given["add"]) == names | {"SYS_CHROOT"}


def cnid_of(manifest: Any) -> Any:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def confined(container: Any) -> list[str]:
    """setpriv's words for what a container's security context leaves."""
    names = [one.lower() for one in container["securityContext"]["capabilities"]["add"]]
    bound = ",".join(["-all", *(f"+{one}" for one in names)])
    return ["setpriv", f"--bounding-set={bound}", "--no-new-privs"]


@pytest.fixture
def daemon(manifest: Any, built: Path, host: Host, tmp_path: Path) -> Iterator[str]:
    """The container's command, in another mount namespace; the node's is the test's. Its socket."""
    container = cnid_of(manifest)
    node = f"--target={os.getpid()}"
    words = [node if one == "--target=1" else one for one in container["command"]]
    assert words[-1] == "/opt/cni/bin/cnid"
    socket = str(tmp_path / "cnid.sock")
    process = host.popen(
        "unshare", "--mount", *confined(container), *words[:-1], str(built / "cnid"),
        "--socket", socket,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: os.path.exists(socket))
        yield socket
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def test_it_serves_the_nodes_callers(
    built: Path, host: Host, container: Namespace, daemon: str
) -> None:
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *")
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": str(host.state)}
    config = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "b0"}
    document = {**config, "isGateway": True, "ipMasq": True, "ipam": ipam}
    for verb in ("ADD", "DEL"):
        done = subprocess.run(
            [built / "bridge"],
            env={
                "CNI_COMMAND": verb,
                "CNI_CONTAINERID": "one",
                "CNI_NETNS": str(container),
                "CNI_IFNAME": "eth0",
                "CNI_PATH": str(built),
                "CNID_SOCKET": daemon,
            },
            input=json.dumps(document), text=True, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    assert ask(daemon)["refused"] == 0


def test_the_node_gets_the_plugins(manifest: Any, built: Path, tmp_path: Path) -> None:
    """The init container's command and capabilities, on a node that had another suite."""
    (init,) = manifest["spec"]["template"]["spec"]["initContainers"]
    release, node = tmp_path / "opt/pycni", tmp_path / "host"
    shutil.copytree(built, release)
    (node / "opt/cni/bin").mkdir(parents=True)
    (node / "opt/cni/bin/bridge").write_text("the reference's\n")
    words = [
        one.replace("/opt/pycni", str(release)).replace("/host", str(node))
        for one in init["command"]
    ]
    done = subprocess.run(
        [*confined(init), *words], text=True, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (node / "opt/cni/bin/portmap").exists()
    assert (node / "opt/cni/bin/bridge.pycni-former").read_text() == "the reference's\n"
