"""The `loopback` plugin: brings a container's `lo` up, for every pod of containerd and CRI-O."""
