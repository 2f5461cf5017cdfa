from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from cni.record import record, replace


@record
class Point:
    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        return self.x + self.y


@record
class Other:
    x: int
    y: int = 2


@record
class Holder:
    items: tuple[int, ...] = ()
    mapping: object = None


def test_fields_come_by_position_by_name_and_by_default() -> None:
    assert (Point(1, 3).x, Point(1, 3).y) == (1, 3)
    assert Point(y=3, x=1) == Point(1, 3) == Point(1, y=3)
    assert Point(1) == Point(1, 2)
    assert Point(1).sum == 3


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "Point misses x"),
        ((1, 2, 3), {}, "Point has 2 fields, 3 were given"),
        ((1,), {"x": 1}, "unexpected or repeated 'x'"),
        ((1,), {"z": 1}, "unexpected or repeated 'z'"),
    ],
)
def test_a_wrong_call_is_a_type_error(
    args: tuple[int, ...], kwargs: dict[str, int], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        Point(*args, **kwargs)


def test_every_missing_field_is_named() -> None:
    @record
    class Three:
        a: int
        b: int
        c: int

    with pytest.raises(TypeError, match="Three misses a, c"):
        Three(b=1)  # type: ignore[call-arg]  # the point of the test


def test_a_record_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point is frozen: 'x'"):
        point.x = 5  # type: ignore[misc]  # the point of the test
    with pytest.raises(AttributeError, match="Point is frozen: 'z'"):
        point.z = 5  # type: ignore[attr-defined]  # the point of the test
    with pytest.raises(AttributeError, match="Point is frozen: 'x'"):
        del point.x
    assert point == Point(1)


def test_equality_is_by_class_and_fields() -> None:
    assert Point(1) != Point(2)
    strangers: list[object] = [Other(1), (1, 2), None]
    assert Point(1) not in strangers


def test_the_hash_follows_equality() -> None:
    assert hash(Point(1)) == hash(Point(1, 2))
    assert len({Point(1), Point(1, 2), Point(2), Other(1)}) == 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(Holder(mapping={}))


def test_the_representation_names_the_fields() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2)"


def test_replace_makes_a_changed_copy() -> None:
    point = Point(1)
    assert replace(point, y=5) == Point(1, 5)
    assert point == Point(1)
    with pytest.raises(TypeError, match="unexpected or repeated 'z'"):
        replace(point, z=1)


def test_copies_and_pickles_are_equal() -> None:
    assert copy.copy(Point(1, 5)) == Point(1, 5)
    assert copy.deepcopy(Holder((1,), {"a": [1]})) == Holder((1,), {"a": [1]})
    assert pickle.loads(pickle.dumps(Point(1, 5))) == Point(1, 5)


def test_a_pattern_matches_by_position_as_a_dataclass() -> None:
    match Point(1, 5):
        case Point(x, y):
            assert (x, y) == (1, 5)
        case _:
            pytest.fail("no match")


def test_it_is_no_dataclass() -> None:
    """The point of it: nothing here may import `dataclasses`."""
    assert not dataclasses.is_dataclass(Point)


def test_a_repr_of_its_own_stays() -> None:
    @record
    class Secret:
        word: str

        def __repr__(self) -> str:
            return "Secret()"

    assert repr(Secret("sesame")) == "Secret()"
