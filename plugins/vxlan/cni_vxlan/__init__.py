"""The `vxlan` plugin: containers of several hosts on one network, over VXLAN tunnels.

The modules, in the order in which they read best.

What the config says:

    main            the verbs, each loaded when it is called for
    config          the whole config of a call: the overlay's keys and the bridge's
    overlay         the overlay's keys, which the watcher reads too
    peers           the key `peers`: which engine tells of the other hosts, and its keys
    subnet_env      the file in which flanneld tells of its network
    identity        names, MACs, and the alias by which a link is known for the network's
    ipam_call       the call as the IPAM plugin sees it
    complete        the config, completed by what only this host knows

What the kernel has of it:

    underlay        the device that the overlay runs over, and the VTEP's address there
    engines         the plan: which device, whose subnets, which peers
    device          the VXLAN device
    port_holder     who else has its UDP port
    overlay_bridge  the containers' bridge, of which the device is a port in mode l2
    former          what a former config has left, of which nothing may be in use
    guard           only the VTEPs' packets are let in
    reconcile       forwarding entries, neighbours and routes made equal to a list of peers
    evpn            what FRR needs to see in order to advertise a container

The verbs:

    provision       the first half of ADD: bridge, device, guard, peers
    attach          ADD
    detach          DEL and GC
    check           CHECK
    status          STATUS
    restore         what healing lays down again
    explain         what ADD would do, in words

What etcd has of it:

    etcd_layout     the keys and their values
    subnets         which subnets a new node takes
    origin          who has given a sign of life: which machine, which boot
    registry        the reads and transactions

The watcher, a process of its own (`cnid overlay`):

    watcher         its loop
    keeper          one overlay, kept in step with its peers
    snapshot        the overlay as the kernel has it now
    feed            the thread that hears from etcd of the other nodes
    peer_list       what it has heard so far
    membership      the thread that keeps this host's own record in etcd
    backoff         how long to wait before another try
    watchstate      what the watcher says of itself, for STATUS and `cnitool overlay`

An ADD: `config.read`. Then `provision` has `engines.plan` decide, which enters the host in etcd
(`registry.join`) where it has no device yet; and under the lock, with what is `former` out of the
way, it makes the bridge, the device and its guard, sets it up and programmes the peers
(`reconcile`). `complete` fills in subnets and MTU; from there on it is `wiring.attach`, as of
`bridge`, and then `evpn`. With flannel, all of it is `subnet_env`, the bridge and `wiring`.

The watcher: `Watcher` has a `Keeper` for each overlay. What the kernel announces goes to
`Keeper.notice`, what the two threads bring to `Keeper.hear`, and then `Keeper.settle` acts. It
compares the whole with the kernel (`snapshot`, `device.adjust`, `guard`, `reconcile.reconcile`),
or only programmes the peers that have changed (`reconcile.change`).
"""
