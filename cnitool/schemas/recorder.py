"""Which keys a reader asks for: a `JsonObject` that notes what its getters are called with.

So a schema says what the reader says: a key that is read is in it, with its kind, its bounds and
its choices, and nothing else is. What stands behind a branch is only seen by who walks into it:
`record_reader` calls a reader with several documents, and with each choice it was seen to give.
"""

from __future__ import annotations

import copy

from cni.errors import CniError
from cni.jsonvalue import JsonObject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cni.ip import Address, Interface, Network
    from cni.jsonvalue import D, JsonValue

ANY, STRING, BOOLEAN, FLAG, INTEGER = "any", "string", "boolean", "flag", "integer"
ADDRESS, INTERFACE, SUBNET, MAC = "address", "interface", "subnet", "mac"
OBJECT, OBJECTS, OBJECT_LISTS, LIST, STRINGS = "object", "objects", "lists", "list", "strings"

_STRENGTH = (ANY, STRING, LIST)
"""What says less than another kind: a reader looks whether a text is there, then parses it."""


class Asked:
    """What was asked about one key.

    kind: one of the words above. choices: of a string, none for any. low, high: of an integer.
    default: of an integer or a boolean. keys: of an object, or of the objects in a list. names:
    whether the keys are somebody's names, each with a string.
    """

    def __init__(self) -> None:
        self.kind = ANY
        self.choices: tuple[str, ...] = ()
        self.low: int | None = None
        self.high: int | None = None
        self.default: int | bool | None = None
        self._defaults: set[int | bool | None] = set()
        self.keys: dict[str, Asked] = {}
        self.names = False

    def note(self, kind: str) -> None:
        """It was asked for as this kind; of several the one that says most counts."""
        if self.kind == kind or kind in _STRENGTH:
            if self.kind == ANY:
                self.kind = kind
            return
        assert self.kind in _STRENGTH, f"asked for as {self.kind} and as {kind}"
        self.kind = kind

    def bound(self, low: int, high: int) -> None:
        """It was asked for within these; of several the widest count."""
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def otherwise(self, default: int | bool | None) -> None:
        """What it is where it is missing; there is no default where that depends on other keys."""
        self._defaults.add(default)
        self.default = default if len(self._defaults) == 1 else None

    def under(self, key: str) -> Asked:
        """What was asked about a key of this object."""
        for name, asked in self.keys.items():
            if name.casefold() == key.casefold():
                return asked
        return self.keys.setdefault(key, Asked())

    def walk(self, path: str = "") -> Iterator[tuple[str, Asked]]:
        """All keys below this one, each with its path: `ipam.ranges.subnet`."""
        for key, asked in self.keys.items():
            place = f"{path}.{key}" if path else key
            yield place, asked
            yield from asked.walk(place)


class Recorder(JsonObject):
    """A document of which every getter notes in `asked` that it was called."""

    __slots__ = ("asked",)

    def __init__(self, raw: dict[str, JsonValue], where: str, asked: Asked) -> None:
        super().__init__(raw, where)
        self.asked = asked

    def _note(self, key: str, kind: str) -> Asked:
        asked = self.asked.under(key)
        asked.note(kind)
        return asked

    def string(self, key: str, default: str = "") -> str:
        self._note(key, STRING)
        return super().string(key, default)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        self._note(key, STRING).choices = choices
        return super().choice(key, choices, default)

    def integer(self, key: str, default: D, low: int, high: int) -> int | D:
        asked = self._note(key, INTEGER)
        asked.bound(low, high)
        asked.otherwise(default)
        return super().integer(key, default, low, high)

    def boolean(self, key: str, default: bool = False) -> bool:
        asked = self.asked.under(key)
        if asked.kind != FLAG:
            asked.note(BOOLEAN)
        asked.otherwise(default)
        return super().boolean(key, default)

    def flag(self, key: str) -> bool:
        self._note(key, FLAG)
        return super().flag(key)

    def object(self, key: str) -> JsonObject:
        asked = self._note(key, OBJECT)
        found = super().object(key)
        return Recorder(found.raw, found.where, asked)

    def items(self, key: str) -> list[JsonValue]:
        self._note(key, LIST)
        return super().items(key)

    def objects(self, key: str) -> list[JsonObject]:
        asked = self._note(key, OBJECTS)
        return [Recorder(one.raw, one.where, asked) for one in super().objects(key)]

    def object_lists(self, key: str, expected: str) -> list[list[JsonObject]]:
        asked = self._note(key, OBJECT_LISTS)
        return [
            [Recorder(one.raw, one.where, asked) for one in inner]
            for inner in super().object_lists(key, expected)
        ]

    def strings(self, key: str) -> list[str]:
        self._note(key, STRINGS)
        return super().strings(key)

    def texts(self) -> dict[str, str]:
        self.asked.names = True
        return super().texts()

    def address(self, key: str) -> Address | None:
        self._note(key, ADDRESS)
        return super().address(key)

    def interface(self, key: str) -> Interface | None:
        self._note(key, INTERFACE)
        return super().interface(key)

    def network(self, key: str) -> Network | None:
        self._note(key, SUBNET)
        return super().network(key)

    def mac(self, key: str) -> str:
        self._note(key, MAC)
        return super().mac(key)

    def replaced(self, key: str, value: dict[str, JsonValue]) -> JsonObject:
        made = super().replaced(key, value)
        return Recorder(made.raw, made.where, self.asked)


def record_reader(
    read: Callable[[JsonObject], object], samples: Iterable[dict[str, JsonValue]]
) -> Asked:
    """What a reader asks a document for. samples: such that each branch is in one of them.

    Each is tried once more with every choice of every key, since other keys may stand behind it;
    the reader then may as well refuse the document.
    """
    asked = Asked()
    for sample in samples:
        read(Recorder(sample, "", asked))
    for sample in samples:
        for path, choices in [(path, one.choices) for path, one in asked.walk() if one.choices]:
            for choice in choices:
                _try(read, _with(sample, path.split("."), choice), asked)
    return asked


def _try(
    read: Callable[[JsonObject], object], document: dict[str, JsonValue], asked: Asked
) -> None:
    try:
        read(Recorder(document, "", asked))
    except CniError:
        pass  # what it had read by then is noted


def _with(sample: dict[str, JsonValue], path: list[str], value: str) -> dict[str, JsonValue]:
    made = copy.deepcopy(sample)
    place = made
    for key in path[:-1]:
        below = place.setdefault(key, {})
        if not isinstance(below, dict):  # in the objects of a list no choice leads anywhere else
            return made
        place = below
    place[path[-1]] = value
    return made
