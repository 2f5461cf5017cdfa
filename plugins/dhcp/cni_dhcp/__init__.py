"""The `dhcp` plugin: addresses from the network's own servers and routers, kept by a daemon."""
