"""The `vxlan` plugin: containers of several hosts on one network, over VXLAN tunnels."""
