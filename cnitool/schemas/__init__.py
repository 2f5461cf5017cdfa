"""JSON Schema (draft 2020-12) of every plugin's configuration and of a network's list.

The files in `json`, which `schemas` in the source tree leads to, are made by `make schemas` from
what the plugins' readers ask for (`recorder`, `readers`) and from what their pages say about it
(`pages`); `document` puts them together. `cnitool schema` prints them and `cnitool validate` checks
by them.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from cni.jsonvalue import JsonValue

    Schema: TypeAlias = "dict[str, JsonValue]"

CONFLIST = "conflist"
SUFFIX = ".schema.json"
DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "json")


def names() -> list[str]:
    """What there is a schema of: the list and the plugins, in alphabetical order."""
    return sorted(
        name.removesuffix(SUFFIX) for name in os.listdir(DIRECTORY) if name.endswith(SUFFIX)
    )


def text(name: str) -> str:
    """A schema's document, as it is published. name: one of `names`."""
    with open(os.path.join(DIRECTORY, name + SUFFIX), encoding="utf-8") as file:
        return file.read()


def load(name: str) -> Schema:
    """The same, decoded."""
    found: Schema = json.loads(text(name))
    return found
