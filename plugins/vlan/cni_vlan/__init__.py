"""The `vlan` plugin: a VLAN of one of the host's interfaces, for one container."""
