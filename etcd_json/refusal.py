"""What etcd's refusals mean. The words are those of etcd's `rpctypes/error.go`."""

from __future__ import annotations

from etcd_json.document import child, decode, string
from etcd_json.errors import Compacted, Denied, EtcdError, NoLease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.document import Document

NO_AUTH = "authentication is not enabled"

_TOKEN_WORDS = (
    "invalid auth token",  # expired, or etcd restarted: it keeps tokens in memory
    "revision of auth store is old",  # a user or role was changed since
    "user name is empty",  # authentication was enabled since we asked
)
_DENIED_WORDS = (
    *_TOKEN_WORDS,
    "permission denied",
    "authentication failed",
    "CommonName",
)
_NO_GATEWAY = ("Not Found", "404 page not found")
_SHOWN = 200


def words(body: bytes) -> str:
    """What a refusal says: the message in its JSON, or its text."""
    try:
        return message(decode(body))
    except EtcdError:
        return body.decode(errors="replace").strip()[:_SHOWN]


def message(document: Document) -> str:
    """The message of an error document; within a stream it is one level deeper."""
    error = document.get("error")
    if isinstance(error, dict):
        return string(child(document, "error"), "message")
    return string(document, "message") or string(document, "error")


def is_about_token(said: str) -> bool:
    """Whether a new token may help."""
    return any(one in said for one in _TOKEN_WORDS)


def refused(said: str, what: str, user: str) -> EtcdError:
    """The error for what a cluster decided; asking another of its members would not change it."""
    if "CommonName" in said:
        return Denied(
            f"etcd refuses to {what}: its JSON gateway accepts no client certificate with a common "
            "name (CN); make one whose subject has none"
        )
    if not user and ("permission denied" in said or "user name is empty" in said):
        return Denied(f"etcd refuses to {what}: it wants a user and password, none are configured")
    if "permission denied" in said:
        return Denied(
            f'etcd refuses to {what}: user "{user}" has no permission for it; grant a role of this '
            "user readwrite permission for the prefix (etcdctl role grant-permission --prefix)"
        )
    if any(one in said for one in _DENIED_WORDS):
        return Denied(f'etcd refuses to {what}: {said}; check the password of user "{user}"')
    if "required revision has been compacted" in said:
        return Compacted(f"etcd cannot {what}: its history was compacted; list again", 0)
    if "requested lease not found" in said:
        return NoLease(f"etcd cannot {what}: the lease has expired or was revoked; grant another")
    if said in _NO_GATEWAY:
        return EtcdError(
            f"cannot {what}: the endpoint has no JSON gateway ({said}); it must be a client URL of "
            "etcd 3.4 or later that runs with --enable-grpc-gateway"
        )
    return EtcdError(f"etcd refuses to {what}: {said or 'it gives no reason'}")
