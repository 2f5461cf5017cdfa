"""The `bandwidth` plugin: how much a container may receive and send in a second."""
