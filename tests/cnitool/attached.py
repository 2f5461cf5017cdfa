"""Containers of a real network, with the cache that a runtime would have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cni import wire
from cni.jsonvalue import JsonObject
from cnitool.settings import Settings, read_settings
from libcni.attachment import Attachment
from libcni.cache import Cache
from libcni.conf import network_from_file
from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

PLUGINS: list[Document] = [
    {
        "type": "bridge",
        "bridge": "cni0",
        "isDefaultGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"},
    },
    {"type": "portmap", "capabilities": {"portMappings": True}},
    {"type": "firewall"},
]


class Network:
    """A network of this host's configuration directory, and how containers come and go."""

    def __init__(
        self, directory: Path, host: Host, plugins: list[Document], name: str = "net"
    ) -> None:
        self.runtime = Runtime(directory)
        self.name = name
        self.directory = directory / "net.d"
        self.directory.mkdir(exist_ok=True)
        self.cache = Cache(str(directory / "cache"))
        self.data_dir = host.state / "networks"
        document = {"cniVersion": "1.1.0", "name": name, "plugins": json.loads(json.dumps(plugins))}
        for plugin in document["plugins"]:
            if plugin.get("ipam", {}).get("type") == "host-local":
                plugin["ipam"].setdefault("dataDir", str(self.data_dir))
        path = self.directory / f"10-{name}.conflist"
        path.write_text(json.dumps(document))
        self.conf = network_from_file(str(path))

    @property
    def settings(self) -> Settings:
        environ = {"NETCONFPATH": str(self.directory), "CNI_PATH": str(self.runtime.path)}
        return read_settings(environ, "", self.cache.directory, 0)

    def add(
        self,
        container: str,
        netns: Namespace,
        *ports: int,
        args: tuple[tuple[str, str], ...] = (),
    ) -> Document:
        """Attach, each plugin in turn, and keep the result as a runtime does."""
        mappings: Any = [{"hostPort": one, "containerPort": 80, "protocol": "tcp"} for one in ports]
        result: Document = {}
        for plugin in self._plugins(mappings):
            config = plugin | ({"prevResult": result} if result else {})
            result = self.runtime.add(config, netns=netns, container=container)
        attachment = Attachment(
            container, str(netns), args=args, capability_args={"portMappings": mappings}
        )
        self.cache.prepare(self.name, attachment.key)
        answered = wire.encode(wire.decode(JsonObject(result)), "1.1.0")
        self.cache.store(self.conf, attachment, answered)
        return result

    def delete(self, container: str, netns: Namespace) -> None:
        """Detach in reverse order, and forget."""
        for plugin in reversed(self._plugins([])):
            self.runtime.delete(plugin, netns=netns, container=container)
        self.cache.remove(self.name, Attachment(container).key)

    def _plugins(self, mappings: list[Document]) -> list[dict[str, Any]]:
        runtime = {"runtimeConfig": {"portMappings": mappings}} if mappings else {}
        common = {"cniVersion": "1.1.0", "name": self.name, **runtime}
        return [{**plugin.config.raw, **common} for plugin in self.conf.plugins]
