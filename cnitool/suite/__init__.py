"""Put this suite where a runtime looks for plugins, and take it away again.

`files` has the executables and keeps those of another suite, `units` systemd's units, `share` man
pages and completion; `handover` moves the rules of running containers to where another suite finds
them. `command` is `cnitool install` and `cnitool uninstall`.
"""
