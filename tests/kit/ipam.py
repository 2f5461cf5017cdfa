"""An IPAM plugin that says what the test wants: a foreign one, executed as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cni import wire
from cni.call import Call
from cni.errors import TRY_AGAIN_LATER, CniError
from cni.jsonvalue import JsonObject
from cni.result import Result
from cni.skel import Plugin
from tests.kit.calls import Runtime

# Answers ADD with `ipam.result` of the config, fails any verb that `ipam.fail` names, and notes
# each call in `ipam.log`.
_IPAM = """\
#!/usr/bin/python3 -IS
import json, os, sys
config = json.load(sys.stdin)
ipam = config["ipam"]
command = os.environ["CNI_COMMAND"]
with open(ipam["log"], "a") as log:
    log.write(command + " " + os.environ["CNI_CONTAINERID"] + "\\n")
if command in ipam.get("fail", []):
    print(json.dumps({"cniVersion": "1.0.0", "code": 11, "msg": "the fake IPAM is told to fail"}))
    sys.exit(1)
if command == "ADD":
    print(json.dumps({"cniVersion": "1.0.0", **ipam["result"]}))
"""


class FakeIpam:
    """The `fake` IPAM plugin of one test."""

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self._log = directory / "ipam.log"
        plugin = runtime.path / "fake"
        plugin.write_text(_IPAM)
        plugin.chmod(0o755)

    def section(self, *addresses: str, **keys: Any) -> dict[str, Any]:
        """The config's `ipam`: these addresses, each `address` or `address gateway`."""
        ips = []
        for text in addresses:
            address, _, gateway = text.partition(" ")
            ips.append({"address": address, **({"gateway": gateway} if gateway else {})})
        result = {"ips": ips, "routes": keys.pop("routes", []), "dns": keys.pop("dns", {})}
        return {"type": "fake", "log": str(self._log), "result": result, **keys}

    @property
    def calls(self) -> list[str]:
        """`VERB container` of each call so far."""
        return self._log.read_text().splitlines() if self._log.exists() else []


class BundledIpam(FakeIpam):
    """The same as a plugin of the bundle, called as a function: where processes are slow."""

    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self._log = directory / "ipam.log"
        (runtime.path / "fake").unlink(missing_ok=True)
        (runtime.path / "fake").symlink_to("pycni")
        runtime.loaders["fake"] = lambda: _FAKE


def _note(call: Call) -> JsonObject:
    """Note the call; the config's `ipam`, unless that verb is to fail."""
    ipam = call.config.object("ipam")
    with open(ipam.string("log"), "a") as log:
        log.write(f"{call.command} {call.container_id}\n")
    if call.command in ipam.strings("fail"):
        raise CniError(TRY_AGAIN_LATER, "the fake IPAM is told to fail")
    return ipam


def _add(call: Call) -> Result:
    return wire.decode(_note(call).object("result"), "1.0.0")


def _other(call: Call) -> None:
    _note(call)


_FAKE = Plugin("fake", "an IPAM plugin of the tests", _add, _other, _other, _other, _other)
