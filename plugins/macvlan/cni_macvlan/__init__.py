"""The `macvlan` plugin: a link with a MAC of its own on one of the host's."""
