"""What plugins that give containers an interface share: config, plan, acts, undoing, CHECK.

A plugin with a bridge reads its config into a `bridged.Bridged` and hands that to the verbs:

    keys, bridged        what a config says: single keys, and a whole network with a bridge
    plan                 what a container gets of it, and of the IPAM plugin's result
    container, veth      the acts in the container, and on its veth pair
    host                 the acts on the bridge and its ports
    firewall             masquerade and the check of MACs, by nftables or, as `backend` decides, by
                         iptables (`iptables_masq`, `xtables`); `reference_masq` is for rules of
                         the reference suite that are to be removed
    prune                a bridge that goes with its last container
    attach, detach, check, status   the verbs of a plugin with a bridge, from these
    compare, steps       what the verbs have in common: comparing with a result; going on after an
                         error, and raising all of them at the end
    single               the verbs of a plugin with one link inside the container and no bridge
    etcd_settings        the connection to etcd, as `vxlan` and `etcd-ipam` are told of it
"""
