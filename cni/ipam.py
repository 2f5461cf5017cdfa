"""Delegation to the IPAM plugin that a config names in `ipam.type`.

SPEC.md, section 4: the delegate sees the caller's environment and stdin unchanged. Each function
is one verb; those without an `ipam` section are the caller's affair.
"""

from __future__ import annotations

from cni import execute, wire
from cni.call import check_args
from cni.errors import DELEGATE_FAILED, INVALID_CONFIG, LIMITED, NOT_AVAILABLE, CniError
from cni.record import replace
from cni.stderr import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni.skel import Plugin

_THROUGH_THE_INTERFACE = frozenset({"dhcp"})


def configured(call: Call) -> str:
    """The IPAM plugin's name, empty for a layer-2 network. Raises CniError(INVALID_CONFIG)."""
    return call.config.object("ipam").string("type")


def needs_interface(name: str) -> bool:
    """Whether the IPAM plugin works through the container's interface, as `dhcp` does.

    Then the interface has to be there, and attached to its network, before ADD calls the plugin,
    and still be there when DEL and GC do.
    """
    return name in _THROUGH_THE_INTERFACE


def add(call: Call, name: str) -> Result:
    """Allocate addresses. Raises the delegate's CniError, or DELEGATE_FAILED.

    SPEC.md, section 4: after a delegate's failed ADD comes its DEL. Our own needs none, for what
    fails in it undoes itself; and so a second ADD that it refuses leaves the first one's addresses.
    """
    found, plugin = _resolve(call, name)
    if plugin is not None:
        check_args(call, plugin)
        return plugin.added(replace(call, delegated=True))
    try:
        return _result(_execute(call, name, found), name, call.version)
    except BaseException as error:  # a signal that ended it half-way too
        try:
            withdraw(call, name)
        except CniError as problem:
            error.add_note(f"while undoing: {problem}")
        raise


def _result(output: bytes, name: str, version: str) -> Result:
    try:
        document = execute.result_in(output, "its result")
        failed = execute.error_in(document)
        if failed is None:
            return wire.decode(document, version)
    except CniError as error:
        raise CniError(DELEGATE_FAILED, f"IPAM plugin {name} broke the protocol: {error}") from None
    raise failed  # although it exited with 0, which is a defect of some plugins


def delete(call: Call, name: str) -> None:
    """Release the attachment's addresses."""
    _forward(call, name)


def withdraw(call: Call, name: str) -> None:
    """Release what `add` allocated, for an ADD that fails afterwards: a DEL of the same call."""
    delete(call.as_delete(), name)


def check(call: Call, name: str) -> None:
    """Verify the attachment's addresses are still reserved."""
    _forward(call, name)


def gc(call: Call, name: str) -> None:
    """Release the addresses of attachments that are not valid any more."""
    _forward(call, name)


def status(call: Call, name: str) -> None:
    """Raise CniError(NOT_AVAILABLE) or (LIMITED) where the IPAM plugin cannot serve an ADD."""
    try:
        _forward(call, name)
    except CniError as error:
        if error.code in (NOT_AVAILABLE, LIMITED):
            raise
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error.msg}", error.details) from error


def _forward(call: Call, name: str) -> None:
    found, plugin = _resolve(call, name)
    if plugin is not None:
        check_args(call, plugin)
        plugin.perform(replace(call, delegated=True))
    else:
        _execute(call, name, found)


def _resolve(call: Call, name: str) -> tuple[str, Plugin | None]:
    """Where the delegate is, and the delegate itself where it is one of our bundle's.

    One that asks for an IPAM plugin itself is none: it would ask for itself, and so on for ever.
    """
    if call.delegated:
        raise CniError(
            INVALID_CONFIG,
            f'key "ipam.type": found "{name}", which gives no addresses but asks for an IPAM '
            "plugin itself; expected one such as host-local",
        )
    found = execute.find(name, call.path)
    bundle = call.bundle
    if bundle is not None and bundle.owns(name, found):
        return found, bundle.plugins[name]()
    return found, None


def _execute(call: Call, name: str, path: str) -> bytes:
    outcome = execute.run(path, call.environ, call.stdin)
    if outcome.stderr:
        say(outcome.stderr.decode(errors="replace"))
    return execute.answer(outcome, name)
