"""Which plugins refuse keys of CNI_ARGS that they do not know: the reference's that read any."""

from __future__ import annotations

from cni_bundle.plugins import PLUGINS

READ_ARGS = {"bridge", "host-local", "macvlan", "static", "tap", "tuning"}  # LoadArgs in its source
OURS = {"etcd-ipam", "vxlan"}  # which it does not have


def test_as_in_the_reference() -> None:
    strict = {name for name, load in PLUGINS.items() if load().strict_args}
    assert strict == READ_ARGS | OURS
