"""The `vrf` plugin: a container's interface in a VRF, with a routing table apart."""
