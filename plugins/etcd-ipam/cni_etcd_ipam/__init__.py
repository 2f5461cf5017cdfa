"""The `etcd-ipam` plugin: addresses from ranges that a whole cluster shares, by etcd."""
