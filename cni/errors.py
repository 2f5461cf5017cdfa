"""One error for everything that goes wrong in a CNI call, with the code the spec gives it.

Codes 1 to 99 are the specification's (SPEC.md, section 5 "Error"); from 100 on they are ours and
documented here. A runtime shows `msg` to people; `details` holds what helps to debug.
"""

from __future__ import annotations

INCOMPATIBLE_VERSION = 1
"""The config's `cniVersion` is not known, or knows nothing of what is asked for."""
UNSUPPORTED_FIELD = 2
"""A key asks for what this host cannot do."""
UNKNOWN_CONTAINER = 3
"""There is no such container; nothing has to be cleaned up."""
INVALID_ENVIRONMENT = 4
"""A variable such as CNI_NETNS or CNI_ARGS, or an argument of cnitool, is missing or wrong."""
IO_FAILURE = 5
"""A file or directory cannot be read or written."""
DECODE_FAILURE = 6
"""A document is no JSON, or not of the shape that it must have."""
INVALID_CONFIG = 7
"""A key of the network's configuration is wrong, or does not fit this host or the result of the
plugin before. Repeating the call does not help; `cnitool validate` finds most of it beforehand."""
TRY_AGAIN_LATER = 11
"""It did not work now and may work soon: the runtime is to repeat the call."""
NOT_AVAILABLE = 50
"""STATUS: the plugin could not serve an ADD."""
LIMITED = 51
"""STATUS: an ADD would work, but the network is not whole."""

INTERNAL = 100
"""A defect of the plugin itself; the traceback is on stderr."""
SYSTEM = 101
"""The kernel or a file system refused a request."""
NO_ADDRESS = 102
"""No free IP address is left in a range set."""
DUPLICATE = 103
"""The attachment holds an address already, or somebody else holds the requested one."""
PORT_TAKEN = 104
"""A host port is mapped to another attachment."""
CHECK_FAILED = 105
"""CHECK found the container's network different from what ADD left."""
DELEGATE_FAILED = 106
"""A plugin that was executed broke the protocol: no JSON, or killed by a signal."""
IN_THE_WAY = 107
"""Something that is not ours occupies a name or address this call needs."""


class CniError(Exception):
    """What a verb raises; the door prints it as the spec's error document.

    code: a number from the list above. msg: one sentence that names the key or interface, what
    was found, what was expected and how to mend it. details: longer evidence, may be empty.
    """

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.details = details

    def __str__(self) -> str:
        return f"{self.msg}; {self.details}" if self.details else self.msg


def together(errors: list[CniError]) -> CniError:
    """One error for several that were collected: the first one's code, everybody's message.

    Their notes (what could not be undone) go with the details. Raises ValueError for an empty list.
    """
    if not errors:
        raise ValueError("there is no error to report")
    if len(errors) == 1:
        return errors[0]
    details = (text for error in errors for text in (error.details, notes(error)) if text)
    msg = "; ".join(error.msg for error in errors)
    return CniError(errors[0].code, msg, "; ".join(details))


def notes(error: BaseException) -> str:
    """What was noted on an exception on its way up: the steps that could not be undone."""
    return "; ".join(getattr(error, "__notes__", ()))
