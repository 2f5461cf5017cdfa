"""The `tap` plugin: an interface whose wire is a program in the container."""
