"""The `ipvlan` plugin: a link on one of the host's, with its MAC and addresses of its own."""
