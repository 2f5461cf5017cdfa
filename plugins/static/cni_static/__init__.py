"""The `static` plugin: the addresses that the config or the runtime names, and no others."""
