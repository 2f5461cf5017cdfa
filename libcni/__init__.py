"""What a container runtime embeds to attach containers to networks by CNI plugins.

    network = libcni.load_network("/etc/cni/net.d", "mynet")
    runtime = libcni.Runtime(["/opt/cni/bin"])
    container = libcni.Attachment("c1", netns="/run/netns/c1", ifname="eth0")
    result = runtime.add(network, container)
    ...
    runtime.delete(network, container)

It runs any plugin in any language as Go's libcni does, and shares its cache with it. README.md
beside this file is the tutorial and the reference.
"""

from cni.call import Attachment as AttachmentKey
from cni.errors import CniError
from libcni.attachment import Attachment, parse_args
from libcni.cache import Cache, CachedAttachment
from libcni.cancel import Cancel
from libcni.conf import (
    NetworkConfigList,
    PluginConf,
    conf_files,
    network_from_bytes,
    network_from_file,
    plugin_from_file,
)
from libcni.confdir import NetworkNotFoundError, load_network, load_networks, network_files
from libcni.runtime import Runtime

__all__ = [
    "Attachment",
    "AttachmentKey",
    "Cache",
    "CachedAttachment",
    "Cancel",
    "CniError",
    "NetworkConfigList",
    "NetworkNotFoundError",
    "PluginConf",
    "Runtime",
    "conf_files",
    "load_network",
    "load_networks",
    "network_files",
    "network_from_bytes",
    "network_from_file",
    "parse_args",
    "plugin_from_file",
]
