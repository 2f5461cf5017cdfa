"""etcd's password is in nothing that is printed or logged, whatever is wrong with the config."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cni.skel import serve
from cnid import report
from cnid.protocol import Request
from tests.kit.calls import Document, Runtime
from tests.kit.tool import cnitool

SECRET = "s3cret-Passw0rd"
ETCD = {"password": SECRET, "endpoints": ["http://127.0.0.1:1"], "user": "root", "timeout": 1}
CONFIGS: dict[str, Document] = {
    "etcd-ipam": {"ipam": {**ETCD, "type": "etcd-ipam", "subnet": "10.1.0.0/16"}},
    "vxlan": {
        "vni": 4,
        "network": ["10.244.0.0/16"],
        "peers": {**ETCD, "type": "etcd"},
        "ipam": {"type": "host-local"},
    },
}
CHANGES: tuple[Callable[[Any], Any], ...] = (
    lambda value: [value],
    lambda value: {"x": value},
    json.dumps,
    lambda _: 5,
)


def wrong(config: Document) -> Iterator[bytes]:
    """The config, with each of its values changed, and cut short anywhere."""
    yield json.dumps(config).encode()
    for path in _paths(config):
        for change in CHANGES:
            changed = copy.deepcopy(config)
            parent = changed
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = change(parent[path[-1]])
            yield json.dumps(changed).encode()
    text = json.dumps(config).encode()
    yield from (text[:size] for size in range(1, len(text), 5))
    yield json.dumps([config]).encode()


def _paths(node: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key in node if isinstance(node, dict) else ():
        yield (*above, key)
        yield from _paths(node[key], (*above, key))


def document(plugin: str) -> Document:
    return {"cniVersion": "1.1.0", "name": "net", "type": plugin, **CONFIGS[plugin]}


@pytest.mark.parametrize("plugin", CONFIGS)
def test_no_error_tells_it(plugin: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the plugin, nor the daemon's log of the call."""
    runtime = Runtime(tmp_path)
    failed = 0
    for config in wrong(document(plugin)):
        environ = {
            "CNI_COMMAND": "STATUS",
            "CNI_PATH": str(runtime.path),
        }
        stdout = io.BytesIO()
        status = serve(plugin, runtime.bundle, environ, io.BytesIO(config), stdout)
        failed += status != 0
        request = cast("Request", SimpleNamespace(plugin=plugin, environ=environ))
        logged = report.of_call(request, config, stdout.getvalue(), status, seconds=0.0, waited=0.0)
        said = stdout.getvalue().decode() + json.dumps(logged) + "".join(capfd.readouterr())
        assert SECRET not in said, said
    assert failed > 50


@pytest.mark.parametrize("plugin", CONFIGS)
def test_cnitool_does_not_tell_it(
    plugin: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETCONFPATH", str(tmp_path))
    monkeypatch.setenv("CNI_PATH", str(Runtime(tmp_path).path))
    file = tmp_path / "net.conflist"
    said = ""
    for config in islice(wrong(document(plugin)), None, None, 3):
        text = config.decode()
        conflist = f'{{"cniVersion": "1.1.0", "name": "net", "plugins": [{text}]}}'
        file.write_text(conflist)
        for command in (["validate", str(file)], ["list"]):
            cnitool(
                [*command, "--cache-dir", str(tmp_path / "cache")]
                if command[0] == "list"
                else command
            )
        said = "".join(capfd.readouterr())
        assert SECRET not in said, said
    assert said
