"""ADD and CHECK: the kernel's part."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, SYSTEM, CniError
from cni.record import replace
from cni_tuning import attributes, backup, sysctls
from cni_tuning.attributes import of_link, set_on
from cni_tuning.sysctls import Sysctl
from hostnet import link
from hostnet.netlink import NetlinkError
from hostnet.netns import NetNS
from hostnet.sysctl import of_interface
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_tuning.attributes import Attributes
    from cni_tuning.config import Config
    from hostnet.link import Link
    from hostnet.netlink import Netlink


def add(call: Call, config: Config, result: Result) -> Result:
    """Set all of it or, raising CniError or OSError, nothing; the result with what changed."""
    with NetNS.open(call.netns) as ns, ns.netlink() as nl, Undo() as undo:
        wanted = config.attributes
        found = link.get(nl, call.ifname) if wanted else None
        sysctls.apply(ns, _announcing(config, result, call.ifname) + config.sysctls, undo)
        if found is not None:
            _keep(call, config, ns, found, undo)
            for key, one in wanted.single():
                undo.push(set_on, nl, found.index, of_link(found, one))
                _set(nl, found, key, one)
            return told(result, call.ifname, wanted)
    return result


def _announcing(config: Config, result: Result, ifname: str) -> tuple[Sysctl, ...]:
    """With these the kernel tells the neighbours of the new MAC at once.

    Without them they send to the old one for some ten seconds. What the config says of these
    sysctls comes later, and counts.
    """
    if not config.attributes.mac:
        return ()
    return tuple(
        Sysctl(switch, of_interface(f"ipv{version}", ifname, switch), "1")
        for version, switch in ((4, "arp_notify"), (6, "ndisc_notify"))
        if any(one.address.version == version for one in result.ips)
    )


def _keep(call: Call, config: Config, ns: NetNS, found: Link, undo: Undo) -> None:
    path = backup.file_of(config.data_dir, call.attachment)
    known_by = f"{ns.identity[1]}/{found.index}"
    undo.step(
        lambda: backup.save(path, call.network, known_by, of_link(found, config.attributes)),
        lambda old: backup.put_back(path, old),
    )


def _set(nl: Netlink, found: Link, key: str, one: Attributes) -> None:
    try:
        set_on(nl, found.index, one)
    except NetlinkError as error:
        raise CniError(
            SYSTEM, f'key "{key}": interface {found.name} does not take it: {error}'
        ) from error


def told(result: Result, ifname: str, wanted: Attributes) -> Result:
    """The previous result with the MAC and MTU that the container's interface has now."""
    named = [one for one in result.interfaces if one.name == ifname]
    inside = [one for one in named if one.sandbox] or named
    return replace(
        result,
        interfaces=tuple(
            replace(one, mac=wanted.mac or one.mac, mtu=wanted.mtu or one.mtu)
            if one in inside
            else one
            for one in result.interfaces
        ),
    )


def check(call: Call, config: Config) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    problems: list[str] = []
    with NetNS.open(call.netns) as ns, ns.netlink() as nl:
        problems += sysctls.problems(ns, config.sysctls)
        found = link.find(nl, call.ifname)
        if found is None:
            problems.append(f"interface {call.ifname} does not exist in {call.netns}")
        else:
            problems += attributes.problems(found, config.attributes)
    if problems:
        raise CniError(CHECK_FAILED, "; ".join(problems))
