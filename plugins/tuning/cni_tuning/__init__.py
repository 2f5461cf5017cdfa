"""The `tuning` plugin: sysctls and attributes of an interface that a plugin before it made."""
