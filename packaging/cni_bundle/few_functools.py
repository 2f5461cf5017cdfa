"""What `ipaddress` uses of `functools`, for the bundle's copy of it (`lean.write_store`).

`functools` itself brings `collections`, `operator`, `types`, `reprlib` and `keyword`, which nothing
else in a cold call needs: 1.9 of the 16 ms of CPU that an ADD of `tuning` takes. `later` spares 0.7
more.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    class Ordered(Protocol):
        """What can be compared."""

        def __lt__(self, other: object, /) -> bool: ...


class later:  # noqa: N801 - as the others; functools has none
    """A class's own attribute that a function makes when it is first asked for."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> object:
        value = self._make()
        setattr(owner, self._name, value)
        return value


class cached_property:  # noqa: N801 - its name in functools
    """An attribute that a method computes when it is first asked for."""

    def __init__(self, method: Callable[[object], object]) -> None:
        self._method = method

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> object:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._method(instance)
        return value


def lru_cache() -> Callable[[T], T]:
    """Leaves a function as it is: a call asks hardly one question twice."""
    return lambda function: function


def total_ordering(ordered: type) -> type:
    """Give a class that has `__lt__` and `__eq__` the other comparisons, its heirs' own obeyed."""

    def __gt__(self: Ordered, other: object) -> bool:  # noqa: N807 - as its name shows in errors
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else not less and self != other

    def __le__(self: Ordered, other: object) -> bool:  # noqa: N807
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else less or self == other

    def __ge__(self: Ordered, other: object) -> bool:  # noqa: N807
        less = type(self).__lt__(self, other)
        return less if less is NotImplemented else not less

    for function in (__gt__, __le__, __ge__):
        setattr(ordered, function.__name__, function)
    return ordered
