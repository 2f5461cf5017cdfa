"""`@record`: a frozen dataclass without the price of importing `dataclasses`.

`dataclasses` imports `inspect` and with it half the standard library: about 20 ms, as much as
a whole plugin call may take. Type checkers see `dataclass_transform`, so a record is checked
like a frozen dataclass; at run time the few lines below give it `__init__`, equality, a hash and
a repr. Defaults must be immutable, since all instances share them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar, dataclass_transform

    T = TypeVar("T")

    @dataclass_transform(frozen_default=True)
    def record(cls: type[T]) -> type[T]:
        """Make `cls` an immutable value; its annotations are its fields, in order."""
        return cls

else:

    def record(cls):  # noqa: D103 - said above
        names = tuple(cls.__annotations__)
        count = len(names)
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}

        def init(self, *args, **kwargs):
            # A call makes dozens of records, so this is as short as it can be where all is well.
            fields = self.__dict__
            fields |= defaults
            fields |= kwargs
            if args:
                fields |= zip(names, args, strict=False)
                given = len(args)
                if given > count or (kwargs and not kwargs.keys() <= set(names[given:])):
                    _complain(self, given, kwargs)
            if len(fields) != count:
                _complain(self, len(args), kwargs)

        cls.__match_args__ = names
        cls.__init__ = init
        cls.__setattr__ = cls.__delattr__ = _refuse
        cls.__eq__ = _equal
        cls.__hash__ = _hash
        if "__repr__" not in cls.__dict__:  # as in a dataclass: a record may hold a secret
            cls.__repr__ = _repr
        return cls

    def _complain(self, given, kwargs):
        name, names = type(self).__name__, self.__match_args__
        if given > len(names):
            raise TypeError(f"{name} has {len(names)} fields, {given} were given")
        for key in kwargs:
            if key not in names[given:]:
                raise TypeError(f"{name} got an unexpected or repeated {key!r}")
        missing = [key for key in names if key not in self.__dict__]
        raise TypeError(f"{name} misses {', '.join(missing)}")

    def _refuse(self, name, *_):
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot change")

    def _equal(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def _hash(self):
        return hash((type(self), *(self.__dict__[name] for name in self.__match_args__)))

    def _repr(self):
        fields = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"


def replace(value: T, **changes: object) -> T:
    """A copy of a record with some fields changed. Raises TypeError for an unknown field."""
    return type(value)(**{**value.__dict__, **changes})
