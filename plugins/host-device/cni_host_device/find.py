"""Which interface of the host the config means, by its name, its address or its place in sysfs."""

from __future__ import annotations

import os

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record
from cni_host_device import mark
from hostnet import link
from hostnet.link import IFLA_ADDRESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_host_device.config import HostDevice
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_PCI = "/sys/bus/pci/devices"
_AUXILIARY = "/sys/bus/auxiliary/devices"
_USERSPACE_DRIVERS = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})
_IFF_LOOPBACK = 0x8  # linux/if.h


@record
class Found:
    """The device, what it is called on the host, and whether it is up there.

    Which it is again when it comes back. One that the kernel has brought back by itself, from a
    namespace that has gone, is neither now.
    """

    device: Link
    name: str
    up: bool


def find(nl: Netlink, config: HostDevice) -> Found:
    """The device on the host of `nl`.

    Raises CniError(INVALID_CONFIG), which names the key, for one that is not there: another
    container may have it.
    """
    pci, auxiliary = _on_bus(config)
    if config.device:
        device = _by_name(nl, config.device)
    elif config.hwaddr:
        device = _by_address(nl, config.hwaddr)
    elif config.kernel_path:
        device = _in_directory(nl, f"{config.kernel_path}/net", "kernelpath")
    elif pci:
        device = _of_pci(nl, pci, _bus_key(config))
    else:
        device = _in_directory(nl, f"{_AUXILIARY}/{auxiliary}/net", "runtimeConfig.deviceID")
    if device.flags & _IFF_LOOPBACK:
        raise CniError(
            INVALID_CONFIG,
            f"{device.name} is every namespace's own and stays in it: name another device",
        )
    return Found(device, _home_name(device, config.device), _is_up(device))


def _home_name(device: Link, asked: str) -> str:
    """asked: by which name the config means it, empty where by something else."""
    if device.name == asked:
        return asked
    told = mark.home(device)
    if told is not None:
        return told.name
    # It was found by its alias, or else by an alternative name.
    return asked if asked and asked == device.alias else device.name


def _is_up(device: Link) -> bool:
    """Of one that the reference has brought back the marks tell nothing: it leaves the alias."""
    return device.up or (mark.was_up(device) and device.alias != device.name)


def _bus_key(config: HostDevice) -> str:
    return "runtimeConfig.deviceID" if config.device_id else "pciBusID"


def _on_bus(config: HostDevice) -> tuple[str, str]:
    """The device's name on the PCI bus, and on the auxiliary bus; at most one is not empty."""
    name = config.device_id
    if not name or os.path.exists(f"{_PCI}/{name}"):
        return name or config.pci, ""
    if os.path.exists(f"{_AUXILIARY}/{name}"):
        return "", name
    raise CniError(
        INVALID_CONFIG,
        f'key "runtimeConfig.deviceID": found "{name}", expected a device in {_PCI} or '
        f"{_AUXILIARY}",
    )


def is_in_user_space(config: HostDevice) -> bool:
    """Whether it is a PCI device that a driver for user space has (DPDK): it has no interface.

    Raises CniError(INVALID_CONFIG) for a device that is not there or has no driver, and where the
    network of such a device is wanted.
    """
    pci, _ = _on_bus(config)
    if not pci:
        return False
    try:
        driver = os.readlink(f"{_PCI}/{pci}/driver")
    except OSError as error:
        raise CniError(
            INVALID_CONFIG,
            f'key "{_bus_key(config)}": found "{pci}", expected a PCI device with a driver: '
            f"{error.strerror}: {_PCI}/{pci}/driver",
        ) from None
    driver = os.path.basename(driver)
    if driver not in _USERSPACE_DRIVERS:
        return False
    if config.with_network:
        raise CniError(
            INVALID_CONFIG,
            f'key "useInterfaceNetwork": found true, expected false for {pci}: the driver {driver} '
            "leaves the host no interface that had addresses",
        )
    return True


def _by_name(nl: Netlink, name: str) -> Link:
    found = link.find(nl, name)
    if found is not None:
        return found
    # The kernel has brought it back from a namespace that has gone, under its name there.
    for one in link.dump(nl):
        told = mark.home(one)
        if name == (one.alias if told is None else told.name):
            return one
    raise _missing("device", name)


def _by_address(nl: Netlink, address: bytes) -> Link:
    """The hardware that has the address, before what sits on it and has the same (a VLAN)."""
    found = [one for one in link.dump(nl) if one.attribute(IFLA_ADDRESS) == address]
    if not found:
        raise _missing("hwaddr", address.hex(":"))
    return min(found, key=lambda one: (bool(one.kind), one.index))


def _of_pci(nl: Netlink, pci: str, key: str) -> Link:
    """The device's interface, or that of the virtio device that it is."""
    place = f"{_PCI}/{pci}"
    if not os.path.isdir(f"{place}/net"):
        for entry in sorted(_list(place)):
            if entry.startswith("virtio") and os.path.isdir(f"{place}/{entry}/net"):
                return _in_directory(nl, f"{place}/{entry}/net", key)
    return _in_directory(nl, f"{place}/net", key)


def _in_directory(nl: Netlink, directory: str, key: str) -> Link:
    """The first interface that is named in a directory of sysfs."""
    for name in sorted(_list(directory)):
        found = link.find(nl, name)
        if found is not None:
            return found
    raise CniError(
        INVALID_CONFIG,
        f'key "{key}": found no interface of this host in {directory}, expected one: the device '
        "is no network device, has no driver, or is in another namespace (a container's)",
    )


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _missing(key: str, found: str) -> CniError:
    return CniError(
        INVALID_CONFIG,
        f'key "{key}": found "{found}", expected an interface of this host: it is not there, or a '
        "container has it",
    )
