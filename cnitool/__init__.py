"""The hand tool: attach a namespace to a network, look at networks, find what is wrong with them.

A drop-in for the reference's `cnitool` with `validate` and `list` beside its verbs. README.md
beside this file describes each command.
"""
