"""`make demo`: two containers on a bridge, a published port, and everything gone after DEL.

It takes the executables of dist/bin, drives them by libcni as a container runtime does, and prints
what happened. All of it is in network namespaces of its own, the "host" too.
"""
