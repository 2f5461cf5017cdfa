"""The `portmap` plugin: publishes ports of a container at addresses of the host."""
