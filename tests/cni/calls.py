"""Environments and configs as a runtime sends them, for tests to spoil."""

from __future__ import annotations

import json
from typing import Any

Environment = dict[str, str]


def environment(command: str, netns: object = "", **changed: str | None) -> Environment:
    """A complete environment; a variable that is None is left out."""
    variables: dict[str, str | None] = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": str(netns),
        "CNI_ARGS": "",
        "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
        **changed,
    }
    return {name: value for name, value in variables.items() if value is not None}


def config(version: str = "1.1.0", **more: Any) -> bytes:
    """A network config on stdin; a key that is None is left out."""
    document = {"cniVersion": version, "name": "net", "type": "test", **more}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()
