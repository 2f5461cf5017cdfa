"""`make demo-overlay`: three hosts, one overlay; who reaches whom, and how fast.

`PEERS=static|multicast|evpn|etcd make demo-overlay` chooses what tells the hosts of each other. It
takes the executables of dist/bin, drives them by libcni as container runtimes on three hosts do,
and prints what happened. Hosts, switch and containers are namespaces of their own.
"""
