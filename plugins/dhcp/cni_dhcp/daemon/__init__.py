"""The daemon: asks servers and routers, renews what they lease, and keeps it in files.

It is started by `dhcp daemon` and lives long, so that nothing here is on a plugin's start-up path.
"""
