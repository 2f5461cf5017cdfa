"""`cnitool trace`: where a packet of a container goes.

`probe` sends one from inside the container, `watch` has nftables trace it, `story` joins that with
the routes on both sides and with what `cnitool.state` knows of who is where.
"""
