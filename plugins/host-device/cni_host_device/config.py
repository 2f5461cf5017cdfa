"""The configuration of `host-device`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.names import ifname_problem
from cni.record import record
from wiring import keys
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject

_KERNEL_PATHS = "/sys/devices/"
_ADDRESS_LENGTHS = (6, 8, 20)  # EUI-48, EUI-64, InfiniBand


@record
class HostDevice:
    """Which device it is; of several that are given the first counts.

    device: its name. hwaddr: its hardware address. kernel_path: its place below /sys/devices.
    pci: its address on the PCI bus. device_id: of the runtime, on the PCI or the auxiliary bus; it
    goes before `pci`. with_network: whether its addresses, routes and rules go along.
    """

    common: Common
    device: str = ""
    hwaddr: bytes = b""
    kernel_path: str = ""
    pci: str = ""
    device_id: str = ""
    with_network: bool = False


def read(call: Call) -> HostDevice:
    """Read and check the whole config. Raises CniError(INVALID_CONFIG), which names the key."""
    config = call.config
    with_network = config.boolean("useInterfaceNetwork")
    found = HostDevice(
        common=Common(
            ipam=keys.ipam_plugin(call), dns=keys.dns(config), enable_dad=keys.enable_dad(config)
        ),
        device=_device(config),
        hwaddr=_hwaddr(config),
        kernel_path=_kernel_path(config),
        pci=_bus_name(config, "pciBusID"),
        device_id=_bus_name(config.object("runtimeConfig"), "deviceID"),
        with_network=with_network,
    )
    if found == HostDevice(found.common, with_network=with_network):
        raise CniError(
            INVALID_CONFIG,
            'specify either "device", "hwaddr", "kernelpath" or "pciBusID", or have the runtime '
            'send a "deviceID" (capability of that name): none is there',
        )
    return found


def lenient(call: Call) -> HostDevice:
    """The config for a DEL: of one that has become invalid nothing but the IPAM plugin."""
    try:
        return read(call)
    except CniError:
        return HostDevice(Common(ipam=keys.lenient_ipam(call)))


def _device(config: JsonObject) -> str:
    name = config.string("device")
    if name and ifname_problem(name):
        raise config.wrong("device", "an interface name of at most 15 characters without '/'")
    return name


def _hwaddr(config: JsonObject) -> bytes:
    text = config.string("hwaddr")
    plain = text.replace(":", "").replace("-", "").replace(".", "")
    try:
        address = bytes.fromhex(plain)
    except ValueError:
        address = b""
    if text and (len(address) not in _ADDRESS_LENGTHS or len(plain) != 2 * len(address)):
        raise config.wrong("hwaddr", "a hardware address such as 02:00:5e:10:00:01")
    return address


def _kernel_path(config: JsonObject) -> str:
    path = config.string("kernelpath")
    parts = path.removeprefix(_KERNEL_PATHS).rstrip("/").split("/")
    if path and (not path.startswith(_KERNEL_PATHS) or {"", ".", ".."} & set(parts)):
        raise config.wrong("kernelpath", f"a device's directory below {_KERNEL_PATHS}")
    return path.rstrip("/")


def _bus_name(config: JsonObject, key: str) -> str:
    """A device's name on its bus, which is the name of a directory."""
    name = config.string(key)
    if name and (name[0] == "." or not all(c in ":._-" or _is_alphanumeric(c) for c in name)):
        raise config.wrong(key, "a device's name on its bus such as 0000:00:1f.6")
    return name


def _is_alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()
