"""The configuration of `bridge`, read once and frozen: every key of the reference.

What other plugins with a bridge have too is read by `wiring.bridged`; here are the keys that only
this one has: its VLANs, and whether the bridge goes with its last container.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import replace
from wiring import bridged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject
    from wiring.bridged import Bridged

DEFAULT_BRIDGE = "cni0"
_MAX_VLAN = 4094
_PRUNE = "pruneBridge"


def read(call: Call) -> Bridged:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    found = replace(
        bridged.read(call, DEFAULT_BRIDGE),
        vlan=config.integer("vlan", 0, 0, _MAX_VLAN),
        trunk=_trunk(config),
        vlan_aware=config.has("vlanTrunk"),  # an empty list too, as in the reference
        preserve_default_vlan=config.boolean("preserveDefaultVlan", True),
        bridge_alias=bridged.PRUNED if config.boolean(_PRUNE) else "",
    )
    _check_together(found, config)
    return found


def lenient(call: Call) -> tuple[str, str]:
    """(bridge, IPAM plugin) as far as they can be read; empty strings where they cannot."""
    return bridged.lenient(call, DEFAULT_BRIDGE)


def prunes(call: Call) -> bool:
    """Whether the bridge goes with its last container; not where that cannot be read."""
    try:
        return call.config.boolean(_PRUNE)
    except CniError:
        return False


def _trunk(config: JsonObject) -> tuple[tuple[int, int], ...]:
    """The VLANs of `vlanTrunk` as ranges: each entry has `id`, or `minID` and `maxID`, or both."""
    wanted: set[int] = set()
    for entry in config.objects("vlanTrunk"):
        single = entry.integer("id", None, 1, _MAX_VLAN)
        low = entry.integer("minID", None, 1, _MAX_VLAN)
        high = entry.integer("maxID", None, 1, _MAX_VLAN)
        if low is not None and high is not None:
            if high < low:
                raise entry.wrong("maxID", f"an integer not below minID {low}")
            wanted.update(range(low, high + 1))
        elif low is not None or high is not None:
            missing = "minID" if low is None else "maxID"
            raise entry.wrong(missing, "an integer, since minID and maxID go together")
        if single is not None:
            wanted.add(single)
    return _ranges(sorted(wanted))


def _ranges(vids: list[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for vid in vids:
        if ranges and ranges[-1][1] == vid - 1:
            ranges[-1] = (ranges[-1][0], vid)
        else:
            ranges.append((vid, vid))
    return tuple(ranges)


def _check_together(found: Bridged, config: JsonObject) -> None:
    """What each key allows and the combination does not."""
    if found.vlan and found.trunk:
        raise CniError(
            INVALID_CONFIG,
            f'keys "vlan" and "vlanTrunk": cannot set vlan and vlanTrunk at the same time; '
            f"found vlan {found.vlan} and {len(found.trunk)} trunk ranges; remove one",
        )
    if found.vlan and found.is_gateway and len(f"{found.bridge}.{found.vlan}") > 15:
        raise config.wrong(
            "bridge", f"a name that leaves room for the gateway's, {found.bridge}.{found.vlan}"
        )
