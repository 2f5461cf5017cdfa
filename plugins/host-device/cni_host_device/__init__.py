"""The `host-device` plugin: one of the host's interfaces becomes the container's."""
