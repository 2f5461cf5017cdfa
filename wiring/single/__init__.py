"""Plugins that give the container one link of its own and leave nothing of it on the host.

Such a link (a macvlan, a tap, a dummy) is born in the container's namespace or moved into it, and
dies with it. `attach` is its ADD, and beside it are CHECK, DEL with GC, and STATUS. A plugin has
its config, and a function that looks whether the link can be made and then makes it.
"""
