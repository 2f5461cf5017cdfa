"""The `dummy` plugin: an interface with addresses that leads nowhere."""
