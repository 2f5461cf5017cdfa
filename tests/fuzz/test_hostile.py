"""What the inputs are made by: each is its own, and none is endless."""

from __future__ import annotations

import copy
import random
from typing import Any

from tests.fuzz import hostile

GOOD = {"name": "net", "ranges": [[{"subnet": "10.0.0.0/24"}]], "dns": {"search": ["a", []]}}


def _containers(node: Any) -> list[int]:
    """The identity of each list and object in a document."""
    if not isinstance(node, (dict, list)):
        return []
    inner = node.values() if isinstance(node, dict) else node
    return [id(node), *(one for each in inner for one in _containers(each))]


def test_no_list_or_object_stands_in_two_places() -> None:
    """Else one change is made in ten thousand places, another in each of these, and so on."""
    others = copy.deepcopy(hostile.OTHERS)
    for number in range(1500):
        document = hostile.spoilt(random.Random(f"apart/{number}"), GOOD)
        found = _containers(document)
        assert len(set(found)) == len(found), number
    assert others == hostile.OTHERS, "an input has changed what others are made of"
