"""The specification's versions, and what each of them allows."""

from __future__ import annotations

from cni.errors import INCOMPATIBLE_VERSION, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

SPEC_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CURRENT = SPEC_VERSIONS[-1]
UNSTATED = "0.1.0"
"""What a config without `cniVersion` means: the key is younger than the protocol."""

FIRST_WITH = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
"""The version that introduced a verb; those not named here were there from the start."""


def version_answer() -> dict[str, JsonValue]:
    """What VERSION answers: a constant, which the launcher has built in."""
    supported: list[JsonValue] = list(SPEC_VERSIONS)
    return {"cniVersion": CURRENT, "supportedVersions": supported}


def require_supported(version: str, parent: str = "") -> None:
    """Raise CniError(INCOMPATIBLE_VERSION) unless `version` is one that pycni speaks.

    parent: the path of the object that says it, with a dot behind.
    """
    if version not in SPEC_VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION,
            f'key "{parent}cniVersion": found "{version[:40]}", expected one of '
            f"{', '.join(SPEC_VERSIONS)}",
        )


def at_least(version: str, other: str) -> bool:
    """Whether `version` is `other` or younger; both must be supported versions."""
    return SPEC_VERSIONS.index(version) >= SPEC_VERSIONS.index(other)


def require_verb(version: str, command: str) -> None:
    """Raise CniError(INCOMPATIBLE_VERSION) where `version` does not know `command` yet."""
    first = FIRST_WITH.get(command)
    if first is not None and not at_least(version, first):
        raise CniError(
            INCOMPATIBLE_VERSION,
            f'{command} needs cniVersion {first} or newer; the config says "{version}"',
        )
