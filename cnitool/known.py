"""The keys of the specification and of the plugins that are in use most, for `cnitool validate`."""

from __future__ import annotations

from cnitool.schema import (
    ADDRESS,
    ANY,
    BOOLEAN,
    FLAG,
    INTEGER,
    INTERFACE,
    MAC,
    OBJECT,
    STRING,
    SUBNET,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnitool.schema import Keys, Kind

ROUTE: Keys = {
    "dst": SUBNET,
    "gw": ADDRESS,
    "mtu": INTEGER,
    "advmss": INTEGER,
    "priority": INTEGER,
    "table": INTEGER,
    "scope": INTEGER,
}
DNS: Keys = {"nameservers": [STRING], "domain": STRING, "search": [STRING], "options": [STRING]}

CAPABILITIES: Keys = {
    "aliases": BOOLEAN,
    "bandwidth": BOOLEAN,
    "cgroupPath": BOOLEAN,
    "deviceID": BOOLEAN,
    "dns": BOOLEAN,
    "infinibandGUID": BOOLEAN,
    "ipRanges": BOOLEAN,
    "ips": BOOLEAN,
    "mac": BOOLEAN,
    "portMappings": BOOLEAN,
    "*": BOOLEAN,
}

NETWORK: Keys = {
    "cniVersion": STRING,
    "cniVersions": [STRING],
    "name": STRING,
    "disableCheck": FLAG,
    "disableGC": FLAG,
    "loadOnlyInlinedPlugins": FLAG,
    "plugins": [ANY],  # each by its own table
}
"""A list's own keys (SPEC.md, section 1)."""

PLUGIN: Keys = {
    "type": STRING,
    "name": STRING,
    "cniVersion": STRING,
    "cniVersions": [STRING],
    "capabilities": CAPABILITIES,
    "args": OBJECT,
    "runtimeConfig": OBJECT,
    "ipam": ANY,  # by the table of its type
    "dns": DNS,
}
"""What every plugin may have."""

_MASQUERADE: Keys = {"ipMasq": BOOLEAN, "ipMasqBackend": ("", "iptables", "nftables")}
_LOWER: Keys = {"master": STRING, "linkInContainer": BOOLEAN, "mtu": INTEGER}
_RATES: Keys = {
    "ingressRate": INTEGER,
    "ingressBurst": INTEGER,
    "egressRate": INTEGER,
    "egressBurst": INTEGER,
    "shapedSubnets": [SUBNET],
    "unshapedSubnets": [SUBNET],
}
_RANGE: Keys = {
    "subnet": SUBNET,
    "rangeStart": ADDRESS,
    "rangeEnd": ADDRESS,
    "gateway": ADDRESS,
    "exclude": [STRING],
}
_ROUTES: Kind = [ROUTE]
_RANGES: Keys = {
    **_RANGE,
    "type": STRING,
    "ranges": [[_RANGE]],
    "routes": _ROUTES,
    "resolvConf": STRING,
    "reportExhaustion": BOOLEAN,
}
_ETCD: Keys = {
    "endpoints": [STRING],
    "prefix": STRING,
    "node": STRING,
    "ca": STRING,
    "cert": STRING,
    "key": STRING,
    "user": STRING,
    "password": STRING,
    "passwordFile": STRING,
}

PLUGINS: dict[str, Keys] = {
    "bandwidth": _RATES,
    "bridge": {
        **_MASQUERADE,
        "bridge": STRING,
        "isGateway": BOOLEAN,
        "isDefaultGateway": BOOLEAN,
        "forceAddress": BOOLEAN,
        "mtu": INTEGER,
        "hairpinMode": BOOLEAN,
        "promiscMode": BOOLEAN,
        "vlan": INTEGER,
        "vlanTrunk": [{"id": INTEGER, "minID": INTEGER, "maxID": INTEGER}],
        "preserveDefaultVlan": BOOLEAN,
        "macspoofchk": BOOLEAN,
        "enabledad": BOOLEAN,
        "disableContainerInterface": BOOLEAN,
        "portIsolation": BOOLEAN,
    },
    "dummy": {},
    "firewall": {
        "backend": ("", "firewalld", "iptables", "nftables"),
        "iptablesAdminChainName": STRING,
        "firewalldZone": STRING,
        "ingressPolicy": ("", "isolated", "open", "same-bridge"),
    },
    "host-device": {
        "device": STRING,
        "hwaddr": STRING,
        "kernelpath": STRING,
        "pciBusID": STRING,
    },
    "ipvlan": {**_LOWER, "mode": ("", "l2", "l3", "l3s")},
    "loopback": {},
    "macvlan": {
        **_LOWER,
        "mode": ("", "bridge", "passthru", "private", "vepa"),
        "bcqueuelen": INTEGER,
        "mac": MAC,
    },
    "portmap": {
        "backend": ("", "iptables", "nftables"),
        "snat": BOOLEAN,
        "masqAll": BOOLEAN,
        "markMasqBit": INTEGER,
        "externalSetMarkChain": STRING,
        "conditionsV4": [STRING],
        "conditionsV6": [STRING],
    },
    "ptp": {**_MASQUERADE, "mtu": INTEGER},
    "tap": {
        "multiQueue": BOOLEAN,
        "mtu": INTEGER,
        "mac": MAC,
        "owner": INTEGER,
        "group": INTEGER,
        "bridge": STRING,
        "selinuxContext": STRING,
    },
    "sbr": {"table": INTEGER, "gateways": [ADDRESS], "addSourceHints": BOOLEAN},
    "tuning": {
        "sysctl": {"*": STRING},
        "mac": MAC,
        "mtu": INTEGER,
        "promisc": BOOLEAN,
        "allmulti": BOOLEAN,
        "txQLen": INTEGER,
        "dataDir": STRING,
    },
    "vlan": {**_LOWER, "vlanId": INTEGER},
    "vrf": {"vrfname": STRING, "table": INTEGER},
    "vxlan": {
        **_MASQUERADE,
        "vni": INTEGER,
        "mode": ("", "l2", "l3"),
        "port": INTEGER,
        "underlay": STRING,
        "local": ADDRESS,
        "mtu": INTEGER,
        "txChecksumOffload": BOOLEAN,
        "network": [SUBNET],
        "peers": {
            **_ETCD,
            "type": ("", "etcd", "evpn", "flannel", "multicast", "static"),
            "nodes": [{"address": ADDRESS, "subnets": [SUBNET]}],
            "group": ADDRESS,
            "subnetLength": {"4": INTEGER, "6": INTEGER},
            "subnetFile": STRING,
        },
        "bridge": STRING,
        "isGateway": BOOLEAN,
        "isDefaultGateway": BOOLEAN,
        "forceAddress": BOOLEAN,
        "hairpinMode": BOOLEAN,
        "promiscMode": BOOLEAN,
        "macspoofchk": BOOLEAN,
        "enabledad": BOOLEAN,
        "disableContainerInterface": BOOLEAN,
        "portIsolation": BOOLEAN,
    },
}
"""What each has beside PLUGIN."""

IPAM: dict[str, Keys] = {
    "dhcp": {
        "type": STRING,
        "daemonSocketPath": STRING,
        "provide": [{"option": STRING, "value": STRING, "fromArg": STRING}],
        "request": [{"option": STRING, "skipDefault": BOOLEAN}],
        "priority": INTEGER,
        "suppress": [("gateway",)],
        "ipv4": BOOLEAN,
        "ipv6": ("", "none", "dhcp", "slaac", "auto"),
    },
    "etcd-ipam": {**_RANGES, **_ETCD},
    "host-local": {**_RANGES, "dataDir": STRING, "releaseOnReboot": BOOLEAN},
    "static": {
        "type": STRING,
        "addresses": [{"address": INTERFACE, "gateway": ADDRESS}],
        "routes": _ROUTES,
        "dns": DNS,
    },
}

RANGES = frozenset({"etcd-ipam", "host-local"})
"""IPAM plugins that give out addresses of ranges, by the same keys."""

CHAINED = frozenset({"bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"})
"""Plugins that work on what one before them in the list has made, and allocate no addresses."""

NEEDS_CAPABILITY = {"bandwidth": "bandwidth", "portmap": "portMappings"}
"""What a plugin gets from the runtime, and only where its capability is declared."""
