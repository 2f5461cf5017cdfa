"""The protocol's words: CNI specification 1.1.0 and every version before it.

This floor knows JSON, environment variables and exit codes. It needs no root, no kernel and
nothing outside the standard library, so a plugin in any domain can stand on it.
"""

__version__ = "0.1.0"

REFERENCE = "1.9.1"
"""The version of containernetworking/plugins whose behaviour is promised."""


def about(name: str) -> str:
    """Whose and of which version the suite's plugin of this name is: what it says by itself.

    In the reference's words and as its version, with ours behind the plus sign: nerdctl reads them
    of `firewall`, to know whether networks can be isolated.
    """
    return f"CNI {name} plugin v{REFERENCE}+pycni.{__version__}"
