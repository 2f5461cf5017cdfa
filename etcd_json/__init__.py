"""A client of etcd v3 by its JSON gateway, from sockets, `json` and `ssl`; nothing else.

Why by hand: see README.md. Knows nothing of CNI, nor of what the keys mean.

From above: `client` is what callers have, `watch` its changes as they happen; `values` are what
they give and get, `errors` what is raised. `session` asks one endpoint after the other, with what a
`refusal` means. Below it are `document`, the gateway's JSON; `http`; and `stream`, bytes to an
`endpoint`, over `tls` where its URL says so.
"""

from __future__ import annotations

from etcd_json.client import Etcd
from etcd_json.endpoint import Endpoint
from etcd_json.errors import Compacted, Denied, EtcdError, NoLease, Unreachable
from etcd_json.values import (
    Compare,
    Event,
    KeyValue,
    Op,
    Outcome,
    absent,
    delete,
    get,
    get_prefix,
    put,
    unchanged,
    value_is,
)

__all__ = [
    "Compacted",
    "Compare",
    "Denied",
    "Endpoint",
    "Etcd",
    "EtcdError",
    "Event",
    "KeyValue",
    "NoLease",
    "Op",
    "Outcome",
    "Unreachable",
    "absent",
    "delete",
    "get",
    "get_prefix",
    "put",
    "unchanged",
    "value_is",
]
