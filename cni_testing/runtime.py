"""Calls plugins as a runtime does, through the door and in the test's own process.

The plugins stand on CNI_PATH as links to one file, as they do in the built tree, so that a delegate
is found and called the same way.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cni.bundle import Bundle
from cni.skel import Plugin, serve
from cni_bundle.plugins import PLUGINS

Document = dict[str, Any]
"""A config or a result, as JSON has it."""


class PluginError(AssertionError):
    """The plugin answered with an error."""

    def __init__(self, document: Document) -> None:
        super().__init__(f"error {document['code']}: {document['msg']}")
        self.code: int = document["code"]
        self.msg: str = document["msg"]
        self.document = document


class Runtime:
    """A runtime of one test: a directory of plugins and the verbs to call them by.

    directory: where it makes its CNI_PATH, `bin`. plugins: yours, each by the name that stands as
    `type` in a config; those of the suite are there as well, to be chained with or delegated to.
    """

    def __init__(self, directory: Path, plugins: Mapping[str, Plugin] | None = None) -> None:
        self.loaders = {**PLUGINS, **{name: _given(one) for name, one in (plugins or {}).items()}}
        self.path = directory / "bin"
        self.path.mkdir()
        executable = self.path / "pycni"
        executable.write_text("#!/bin/false\n")
        executable.chmod(0o755)
        for name in self.loaders:
            (self.path / name).symlink_to("pycni")
        self.bundle = Bundle(self.loaders, str(executable))

    def call(
        self,
        command: str,
        config: Document,
        *,
        container: str = "c1",
        ifname: str = "eth0",
        netns: os.PathLike[str] | str = "",
        args: str = "",
        environ: dict[str, str] | None = None,
    ) -> Document | None:
        """Call the plugin `config["type"]`; its result, None where it prints none.

        Raises PluginError for an error document, AssertionError where the protocol is broken.
        """
        env = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": ifname,
            "CNI_NETNS": os.fspath(netns),
            "CNI_ARGS": args,
            "CNI_PATH": str(self.path),
            **(environ or {}),
        }
        stdout = io.BytesIO()
        stdin = io.BytesIO(json.dumps(config).encode())
        status = serve(config["type"], self.bundle, env, stdin, stdout)
        output = stdout.getvalue()
        document = json.loads(output) if output else None
        if status:
            assert isinstance(document, dict), "a failed call prints an error document"
            raise PluginError(document)
        assert document is None or "code" not in document
        return document

    def add(self, config: Document, **how: Any) -> Document:
        """ADD; the result."""
        result = self.call("ADD", config, **how)
        assert result is not None
        return result

    def delete(self, config: Document, **how: Any) -> None:
        """DEL, which prints nothing."""
        assert self.call("DEL", config, **how) is None

    def check(self, config: Document, result: Document, **how: Any) -> None:
        """CHECK against the result of the ADD."""
        assert self.call("CHECK", {**config, "prevResult": result}, **how) is None

    def gc(self, config: Document, valid: list[tuple[str, str]]) -> None:
        """GC, keeping the (container, ifname) pairs."""
        keep = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
        environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": ""}
        document = {**config, "cni.dev/valid-attachments": keep}
        assert self.call("GC", document, environ=environ) is None

    def status(self, config: Document) -> None:
        """STATUS, which prints nothing."""
        environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": ""}
        assert self.call("STATUS", config, environ=environ) is None


def _given(plugin: Plugin) -> Callable[[], Plugin]:
    return lambda: plugin
