"""The protocol's words: CNI specification 1.1.0 and every version before it.

This floor knows JSON, environment variables and exit codes. It needs no root, no kernel and
nothing outside the standard library, so a plugin in any domain can stand on it.
"""

__version__ = "0.1.0"
