"""The tutorial's runtime works with the reference's plugins; tests/docs has it with ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.host import Host

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "toy_runtime.py"

pytestmark = pytest.mark.skipif(
    not Path("/usr/lib/cni/bridge").exists(),
    reason="Debian's containernetworking-plugins is missing",
)


def test_the_example_runs(host: Host, tmp_path: Path) -> None:
    host.share_bridge("br-toy")
    host.share_locks()
    host.share("file */cache/results/")
    ipam = {"type": "host-local", "subnet": "10.78.0.0/24", "dataDir": str(host.state / "ipam")}
    bridge = {"type": "bridge", "bridge": "br-toy", "isGateway": True, "ipam": ipam}
    document = {"cniVersion": "1.0.0", "name": "toy", "plugins": [bridge]}
    (tmp_path / "10-toy.conflist").write_text(json.dumps(document))
    environ = os.environ | {
        "CNI_PATH": "/usr/lib/cni",
        "NETCONFPATH": str(tmp_path),
        "TOY_CACHE": str(host.state / "cache"),
        "PYTHONPATH": str(ROOT),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(EXAMPLE), *command]
        return subprocess.run(argv, env=environ, text=True, capture_output=True, check=False)

    done = run("toy", "ip", "-json", "address", "show", "eth0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["addr_info"][0]["local"] == "10.78.0.2"
    assert "has 10.78.0.2/24" in done.stderr
    assert run("toy", "false").returncode == 1
    done = run("absent", "true")
    assert done.returncode == 1
    assert done.stderr.startswith("error 7: no net configuration with name")
