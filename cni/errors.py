"""One error for everything that goes wrong in a CNI call, with the code the spec gives it.

Codes 1 to 99 are the specification's (SPEC.md, section 5 "Error"); from 100 on they are ours and
documented here. A runtime shows `msg` to people; `details` holds what helps to debug.
"""

from __future__ import annotations

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODE_FAILURE = 6
INVALID_CONFIG = 7
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
LIMITED = 51

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
