"""Results that the tests write and read in every version of the specification."""

from __future__ import annotations

from cni.ip import parse_address, parse_interface, parse_network
from cni.result import DNS, Interface, IPConfig, Result, Route

_INTERFACES = (
    Interface("cni0", mac="02:00:5e:10:00:01"),
    Interface("veth1a2b", mac="02:00:5e:10:00:02"),
    Interface("eth0", mac="02:00:5e:10:00:03", sandbox="/run/netns/blue"),
)

LAYER2 = Result(_INTERFACES)

SINGLE_STACK = Result(
    _INTERFACES,
    ips=(IPConfig(parse_interface("10.1.0.2/16"), parse_address("10.1.0.1"), 2),),
    routes=(
        Route(parse_network("0.0.0.0/0")),
        Route(parse_network("10.5.0.0/16"), parse_address("10.1.0.254")),
    ),
    dns=DNS(("10.1.0.1",), "blue.example", ("blue.example", "example"), ("ndots:2",)),
)

DUAL_STACK = Result(
    _INTERFACES,
    ips=(
        IPConfig(parse_interface("10.1.0.2/16"), parse_address("10.1.0.1"), 2),
        IPConfig(parse_interface("2001:db8:1::2/64"), parse_address("2001:db8:1::1"), 2),
        IPConfig(parse_interface("10.2.0.2/24"), interface=2),
    ),
    routes=(
        Route(parse_network("0.0.0.0/0")),
        Route(parse_network("::/0"), parse_address("2001:db8:1::1")),
        Route(parse_network("10.5.0.0/16"), parse_address("10.1.0.254")),
    ),
)

ALL_ATTRIBUTES = Result(
    interfaces=(
        Interface(
            "net1",
            mac="02:00:5e:10:00:04",
            sandbox="/run/netns/blue",
            mtu=9000,
            socket_path="/run/vhost/net1.sock",
            pci_id="0000:3b:10.2",
        ),
    ),
    ips=(IPConfig(parse_interface("10.1.0.2/16"), interface=0),),
    routes=(
        Route(
            parse_network("10.5.0.0/16"),
            parse_address("10.1.0.254"),
            mtu=1400,
            advmss=1360,
            priority=100,
            table=4294967295,
            scope=0,
        ),
    ),
)

SAMPLES = {
    "single-stack": SINGLE_STACK,
    "dual-stack": DUAL_STACK,
    "layer2": LAYER2,
    "all-attributes": ALL_ATTRIBUTES,
}
