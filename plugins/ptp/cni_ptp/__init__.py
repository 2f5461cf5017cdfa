"""The `ptp` plugin: a veth pair between container and host, which routes for it."""
