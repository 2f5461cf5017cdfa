from __future__ import annotations

import pytest

from cni.errors import IN_THE_WAY, SYSTEM, CniError, notes, together


def test_an_error_tells_its_message_and_details() -> None:
    assert str(CniError(7, "wrong")) == "wrong"
    assert str(CniError(7, "wrong", "because")) == "wrong; because"


def test_one_collected_error_stays_itself() -> None:
    error = CniError(7, "wrong")
    assert together([error]) is error


def test_several_errors_keep_the_first_code_and_every_word() -> None:
    second = CniError(SYSTEM, "two", "d2")
    second.add_note("while undoing: x")
    both = together([CniError(IN_THE_WAY, "one"), second, CniError(7, "three", "d3")])
    assert (both.code, both.msg) == (IN_THE_WAY, "one; two; three")
    assert both.details == "d2; while undoing: x; d3"


def test_no_error_is_none_to_report() -> None:
    with pytest.raises(ValueError, match="no error"):
        together([])


def test_notes_are_empty_where_none_were_added() -> None:
    assert notes(CniError(7, "wrong")) == ""
