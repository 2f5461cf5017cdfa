"""A client of etcd v3 by its JSON gateway, from sockets, `json` and `ssl`; nothing else.

Why by hand: see README.md. Knows nothing of CNI, nor of what the keys mean.
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
