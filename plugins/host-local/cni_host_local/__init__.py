"""The `host-local` plugin: addresses out of configured ranges, one file each on this host."""
