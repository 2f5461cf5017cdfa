"""What can go wrong with etcd, in one tree below `OSError`, each a sentence with its remedy."""

from __future__ import annotations


class EtcdError(OSError):
    """etcd refused a request, or what answered is not etcd.

    unknown: whether a change that was asked for may have been made all the same.
    """

    unknown: bool = False


class Unreachable(EtcdError):  # noqa: N818 (as FileNotFoundError's kin: it names the state)
    """No endpoint gave an answer; the text names each and why. Worth another try later.

    unknown: the request went out and its answer was lost, so that the change may have been made:
    read what it would have changed before asking again.
    """

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


class Denied(EtcdError):  # noqa: N818
    """User, password, permission, certificate or authority are not accepted, on either side.

    Trying again does not help: the configuration must change, here or in etcd.
    """


class NoLease(EtcdError):  # noqa: N818
    """The lease a key was to be tied to has expired or was revoked: grant another."""


class Compacted(EtcdError):  # noqa: N818
    """The history from the wanted revision on is no longer there: list again, watch from there.

    revision: the oldest one etcd still has.
    """

    def __init__(self, message: str, revision: int) -> None:
        super().__init__(message)
        self.revision = revision
