"""What holds for every answer of a plugin, whatever it was sent."""

from __future__ import annotations

import json
import re
from typing import Any

from cni.jsonvalue import JsonObject
from cni.versions import SPEC_VERSIONS
from cni.wire import decode

KNOWN = frozenset({1, 2, 3, 4, 5, 6, 7, 11, 50, 51, *range(101, 108)})
"""The specification's codes and ours, without 100, a defect of the plugin."""
_LONGEST = 4100
_KEY = re.compile(r'"[A-Za-z][A-Za-z0-9_.\[\]/-]*"')
_PRINTING = ("ADD", "VERSION")


class Answer:
    """document: None where nothing was printed. code: 0 where the call succeeded."""

    def __init__(self, status: int, document: Any) -> None:
        self.document = document
        self.code: int = document["code"] if status else 0
        self.msg: str = document["msg"] if status else ""

    @property
    def word(self) -> str:
        """For the table."""
        return f"error {self.code}" if self.code else "accepted"


def judge(status: int, stdout: bytes, command: str, *, foreign: bool = False) -> Answer:
    """AssertionError for an answer that breaks the protocol."""
    document = _parsed(stdout)
    assert stdout.count(b"\n") == (1 if stdout else 0), "one line"
    assert stdout.isascii()
    if status == 0:
        assert (document is not None) == (command in _PRINTING), document
        assert "code" not in (document or {})
        if command == "ADD":
            decode(JsonObject(document))
            assert document["cniVersion"] in SPEC_VERSIONS
        return Answer(0, document)
    assert status == 1
    assert set(document) <= {"cniVersion", "code", "msg", "details"}, document
    assert document["cniVersion"] in SPEC_VERSIONS
    assert document["code"] in KNOWN or (foreign and document["code"] > 0), document
    assert document["msg"], document
    assert "Traceback" not in document["msg"], document
    assert len(document["msg"]) < _LONGEST, document["msg"]
    assert len(document.get("details", "")) < _LONGEST, document["details"]
    return Answer(1, document)


def names_its_place(answer: Answer) -> bool:
    """Whether an error about the call says what in it is wrong."""
    if answer.code == 4:
        return any(word in answer.msg for word in ("CNI_", "plugin", "interface"))
    if answer.code == 7:
        said = answer.msg.replace(' on network "', "")
        named = 'key "' in said or _KEY.search(said) is not None
        return named or "plugin type" in said or "IPs" in said
    return True


def _parsed(stdout: bytes) -> Any:
    return json.loads(stdout, parse_constant=_no_number) if stdout else None


def _no_number(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")
