"""What a CNI plugin is tested with on a real kernel: throwaway hosts, containers, a leak check.

pycni's own tests stand on it, and it is shipped for those of others: `pip install 'pycni[testing]'`
gives pytest the fixtures of `cni_testing.pytest_plugin`. docs/tutorial/plugin.md shows it at work.

Independent of the plugins on purpose: namespaces are entered through the C library, and what is
there is asked of `ip` and `nft`, which must be installed. All of it needs root.
"""

from __future__ import annotations

from cni_testing.host import Host
from cni_testing.namespace import Namespace
from cni_testing.runtime import Document, PluginError, Runtime
from cni_testing.versions import SPEC_VERSIONS, each_version, versions_since

__all__ = [
    "SPEC_VERSIONS",
    "Document",
    "Host",
    "Namespace",
    "PluginError",
    "Runtime",
    "each_version",
    "versions_since",
]
