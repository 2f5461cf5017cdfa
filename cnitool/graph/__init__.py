"""`cnitool graph`: bridges, overlays, containers and published ports, drawn.

`model` makes groups of boxes of what `cnitool.state` found; `terminal`, `svg` and `page` draw them.
"""
