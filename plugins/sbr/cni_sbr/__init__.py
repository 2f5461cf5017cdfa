"""The `sbr` plugin: what a container sends from an interface's address leaves by that interface."""
