"""What a worker tells the daemon of a call it served, for the log and the counters."""

from __future__ import annotations

from cni import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue
    from cnid.protocol import Request

    Report = dict[str, JsonValue]

_LONGEST = 200
"""Characters of a value that the caller chose: a line of the log has room for all of them."""


def of_call(
    request: Request, config: bytes, output: bytes, status: int, *, seconds: float, waited: float
) -> Report:
    """The report of a call. config, output: what went through stdin and stdout.

    seconds: that it took. waited: those before a worker had it.
    """
    environ = request.environ
    found: Report = {
        "plugin": request.plugin,
        "verb": environ.get("CNI_COMMAND", "")[:_LONGEST],
        "network": _string(config, "name"),
        "container": environ.get("CNI_CONTAINERID", "")[:_LONGEST],
        "ifname": environ.get("CNI_IFNAME", "")[:_LONGEST],
        "seconds": round(seconds, 6),
        "waited": round(waited, 6),
        "status": status,
    }
    if "TRACEPARENT" in environ:
        found["traceparent"] = environ["TRACEPARENT"][:_LONGEST]
    if status:
        document = _document(output)
        code = document.get("code")
        found["code"] = code if isinstance(code, int) else 0
        found["error"] = _string(output, "msg") or output.decode(errors="replace")[:_LONGEST]
    return found


def dumps(report: Report) -> bytes:
    """One message to the daemon."""
    return jsontext.dumps(report).encode()


def loads(message: bytes) -> Report:
    """What `dumps` made. Raises ValueError."""
    found = jsontext.loads(message.decode())
    if not isinstance(found, dict):
        raise ValueError("the report is no object")
    return found


def _document(text: bytes) -> Report:
    try:
        found = jsontext.loads(text.decode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _string(text: bytes, key: str) -> str:
    found = _document(text).get(key)
    return found[:_LONGEST] if isinstance(found, str) else ""
