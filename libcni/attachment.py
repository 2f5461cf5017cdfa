"""What a runtime attaches: a container's interface, with what plugins are told about it."""

from __future__ import annotations

import os

from cni.call import Attachment as AttachmentKey
from cni.errors import INVALID_ENVIRONMENT, CniError
from cni.names import ifname_problem, name_problem
from cni.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonValue

Args = tuple[tuple[str, str], ...]
"""CNI_ARGS as pairs, in order."""


@record
class Attachment:
    """A container's interface on a network, as the runtime sees it.

    container_id: letters, digits, `_`, `.`, `-`. netns: path of the network namespace; empty for a
    DEL after it is gone. ifname: the interface inside. args: CNI_ARGS. capability_args: values for
    the capabilities that plugins declare (`portMappings`, `bandwidth`, `ips`, `mac`, ...), by name.

    None for args or capability_args means nothing on ADD, and on CHECK and DEL what ADD was given,
    from the cache: SPEC.md wants all three to get the same, and a plugin such as portmap cannot
    clean up without. An empty value means empty.
    """

    container_id: str
    netns: str = ""
    ifname: str = "eth0"
    args: Args | None = None
    capability_args: Mapping[str, JsonValue] | None = None

    @property
    def key(self) -> AttachmentKey:
        """What names it on its network, for GC."""
        return AttachmentKey(self.container_id, self.ifname)

    def filled(self, args: Args, capability_args: Mapping[str, JsonValue]) -> Attachment:
        """The same with these where it does not say."""
        return replace(
            self,
            args=args if self.args is None else self.args,
            capability_args=(
                capability_args if self.capability_args is None else self.capability_args
            ),
        )

    def args_text(self) -> str:
        """`K=V;K2=V2`, the value of CNI_ARGS."""
        return ";".join(f"{key}={value}" for key, value in self.args or ())


NOBODY = Attachment("", ifname="")
"""For the verbs that concern none."""


def require_valid(attachment: Attachment, command: str) -> None:
    """Refuse what no plugin could be told, before anything happens.

    Raises CniError(INVALID_ENVIRONMENT) that names the field.
    """
    problems = [
        ("container_id", name_problem(attachment.container_id)),
        ("ifname", ifname_problem(attachment.ifname)),
        ("netns", _text_problem(attachment.netns)),
    ]
    if command == "ADD" and not attachment.netns:
        problems.append(("netns", "it is empty, expected the path of a network namespace"))
    for key, value in attachment.args or ():
        if not key or set("=;") & set(key) or ";" in value:
            problem = "expected a key without '=' and ';', and a value without ';'"
        else:
            problem = _text_problem(key + value)
        problems.append((f"args: {key[:40]!r}={value[:40]!r}", problem))
    for name, problem in problems:
        if problem:
            raise CniError(INVALID_ENVIRONMENT, f"{command}: {name}: {problem}")


def _text_problem(text: str) -> str:
    """What keeps a text out of an environment variable."""
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return f"found {text[:40]!r}, which has no bytes in UTF-8"
    return f"found {text[:40]!r} with a NUL character" if b"\0" in encoded else ""


def parse_args(text: str) -> Args:
    """CNI_ARGS as pairs. Raises CniError(INVALID_ENVIRONMENT) for anything but `K=V;K2=V2`."""
    pairs: list[tuple[str, str]] = []
    for pair in text.split(";") if text else ():
        key, equals, value = pair.partition("=")
        if not (key and equals and value) or "=" in value:
            raise CniError(
                INVALID_ENVIRONMENT,
                f"invalid CNI_ARGS pair {pair[:40]!r}: expected KEY=VALUE;KEY=VALUE",
            )
        pairs.append((key, value))
    return tuple(pairs)
