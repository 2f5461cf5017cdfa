"""The executables: one multi-call program for all plugins, and cnitool beside it.

`boot` is the first Python that a plugin's executable runs, `tool` the first of cnitool's;
`plugins` is the table of what the bundle holds. The build is described in `pycni.spec`.
"""
