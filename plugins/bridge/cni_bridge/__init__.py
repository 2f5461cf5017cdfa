"""The `bridge` plugin: containers on a Linux bridge, each by a veth pair."""
