"""CHECK: the attachment still holds the addresses that ADD gave it."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_etcd_ipam.config import read_config
from cni_etcd_ipam.etcd_layout import layout_of, read_owner_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Attachment, Call
    from cni.ip import Address
    from cni_etcd_ipam.etcd_layout import Layout
    from etcd_json import Etcd


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) that names each key which is missing or another's.

    Of the previous result's addresses those count that lie in the configured ranges; where it has
    none of them, the attachment must hold at least one.
    """
    config = read_config(call)
    layout = layout_of(config.etcd, call.network)
    previous = call.prev_result.ips if call.prev_result is not None else ()
    expected = [item.address.ip for item in previous]
    ours = [one for one in expected if any(each.range_of(one) for each in config.ranges.sets)]
    with config.etcd.session() as etcd:
        problems = list(_problems(etcd, layout, ours, call.attachment))
    if problems:
        raise CniError(
            CHECK_FAILED,
            f"Failed to find address added by container {call.container_id} ({call.ifname}): "
            f"{'; '.join(problems)}",
        )


def _problems(
    etcd: Etcd, layout: Layout, expected: list[Address], owner: Attachment
) -> Iterator[str]:
    from etcd_json import get

    key = layout.owner_key(owner)
    outcome = etcd.transact([], [get(key), *(get(layout.address_key(one)) for one in expected)])
    entry, *found = outcome.found
    network, held = read_owner_value(entry[0].value) if entry else ("", [])
    if not entry:
        yield f"the key {key} is missing"
    elif network != layout.network or not held:
        yield f"the key {key} says {entry[0].value!r}"
    holder = layout.holder(owner)
    for address, each in zip(expected, found, strict=True):
        if not each:
            yield f"the key {layout.address_key(address)} is missing"
        elif each[0].value != holder:
            yield f"{address} is held by {each[0].value!r}, expected {holder!r}"
        elif entry and address not in held:
            yield f"the key {key} does not name {address}"
