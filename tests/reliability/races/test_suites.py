"""Two suites on one directory at once: Debian's Go plugins and ours, under the reference's lock."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kit.contract import REFERENCE
from tests.kit.host import Host
from tests.kit.processes import at_once

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference suite is missing")

CONTAINERS = 24


def _call(directory: Path, verb: str, config: dict[str, Any], number: int, netns: str) -> Any:
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": f"c{number}",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": netns,
        "CNI_PATH": str(directory),
        "CNID_SOCKET": "",
        "PATH": os.defpath,
    }
    done = subprocess.run(
        [directory / "host-local"],
        input=json.dumps(config),
        env=environ,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return json.loads(done.stdout) if done.stdout else {"status": done.returncode}


def test_both_suites_at_once(host: Host, built: Path, whole: bool) -> None:
    """Each container is added by one and deleted by the other, several times over."""
    host.share_locks()
    netns = str(host.container())
    ipam = {"type": "host-local", "subnet": "10.9.0.0/26", "dataDir": str(host.state)}
    config = {"cniVersion": "1.0.0", "name": "both", "type": "host-local", "ipam": ipam}
    suites = (built, REFERENCE)
    for turn in range(20 if whole else 2):
        first, second = suites[turn % 2], suites[(turn + 1) % 2]
        half = CONTAINERS // 2
        adds = [partial(_call, first, "ADD", config, n, netns) for n in range(half)]
        adds += [partial(_call, second, "ADD", config, n, netns) for n in range(half, 2 * half)]
        got = at_once(adds)
        assert [one for one in got if "ips" not in one] == []
        addresses = [one["ips"][0]["address"] for one in got]
        assert len(set(addresses)) == CONTAINERS
        files = {one.name for one in (host.state / "both").glob("10.*")}
        assert files == {one.partition("/")[0] for one in addresses}
        again = [partial(_call, suites[n % 2], "ADD", config, 0, netns) for n in range(2)]
        assert all("duplicate allocation" in one["msg"] for one in at_once(again))
        dels = [partial(_call, second, "DEL", config, n, netns) for n in range(half)]
        dels += [partial(_call, first, "DEL", config, n, netns) for n in range(half, 2 * half)]
        mixed = at_once([*dels, partial(_call, built, "STATUS", config, 0, netns)])
        assert mixed[:-1] == [{"status": 0}] * CONTAINERS
        assert [one.name for one in (host.state / "both").glob("10.*")] == []
    # Ours keeps an index beside the files: it learns that they went when it is called again.
    assert _call(built, "DEL", config, 0, netns) == {"status": 0}
