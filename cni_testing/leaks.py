"""What a namespace and the machine hold, as lines of text that can be compared.

The lines, for `Host.share` (fnmatch patterns):
    link NAME KIND up|down master M mtu N
    address dev NAME ADDRESS/PREFIX
    route DESTINATION dev NAME table T …
    rule …
    nft table|chain|rule|map|set|element …
    file PATH
    process PID NAME
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_namespace() -> set[str]:
    """Of the calling thread's namespace."""
    links, addresses = _ip("-details", "link show", "address show")
    found = {_link(one) for one in links if one}
    for one in addresses:
        for each in one.get("addr_info", ()):
            found.add(f"address dev {one['ifname']} {each['local']}/{each['prefixlen']}")
    for family in ("-4", "-6"):
        routes, rules = _ip(family, "route show table all", "rule show")
        found |= {_route(one) for one in routes}
        found |= {"rule " + json.dumps(one, sort_keys=True) for one in rules}
    nft = subprocess.run(
        ["nft", "-json", "list", "ruleset"], text=True, capture_output=True, check=True
    )
    found.update(_nft(json.loads(nft.stdout)["nftables"] if nft.stdout else []))
    return found


def _ip(option: str, *commands: str) -> list[Any]:
    """The answers of `ip -json OPTION COMMAND` for each command."""
    batch = "\n".join(commands) + "\n"
    ip = subprocess.run(
        ["ip", "-json", option, "-batch", "-"],
        input=batch,
        text=True,
        capture_output=True,
        check=True,
    )
    return _documents(ip.stdout)


def of_directories(directories: Iterable[Path]) -> set[str]:
    """Files, and directories that hold none, below these."""
    found: set[str] = set()
    for top in directories:
        for path, folders, files in os.walk(top):
            found |= {f"file {path}/{name}" for name in files}
            if not files and not folders and path != str(top):
                found.add(f"file {path}/")
    return found


def of_process() -> set[str]:
    """Child processes of this one."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        for pid in _read(task / "children").split():
            if name := _read(Path(f"/proc/{pid}/comm")):
                found.add(f"process {pid} {name.strip()}")
    return found


def _read(path: Path) -> str:
    """The file's text; empty when the thread or process it is about has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _documents(text: str) -> list[Any]:
    """The JSON documents that `ip -batch` prints one after the other."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def _link(one: dict[str, Any]) -> str:
    kind = one.get("linkinfo", {}).get("info_kind", "-")
    state = "up" if "UP" in one["flags"] else "down"
    master = one.get("master", "-")
    return f"link {one['ifname']} {kind} {state} master {master} mtu {one['mtu']}"


def _route(one: dict[str, Any]) -> str:
    text = f"route {one['dst']} dev {one.get('dev', '-')} table {one.get('table', 'main')}"
    return text + "".join(f" {key} {one[key]}" for key in ("gateway", "metric") if key in one)


def _nft(objects: list[dict[str, Any]]) -> Iterable[str]:
    for wrapped in objects:
        for what, one in wrapped.items():
            if what == "metainfo":
                continue
            where = f"{one['family']} {one.get('table', '')} {one.get('chain', '')}"
            for element in one.pop("elem", ()):
                yield f"nft element {where} {one['name']} {json.dumps(element, sort_keys=True)}"
            one.pop("handle", None)
            name = one.get("name", "") or json.dumps(one, sort_keys=True)
            yield f"nft {what} {' '.join(where.split())} {name}"
