from __future__ import annotations

import pytest

from cni.errors import INCOMPATIBLE_VERSION, CniError
from cni.versions import CURRENT, SPEC_VERSIONS, at_least, require_supported, require_verb
from tests.kit.versions import each_version

FIRST = {"ADD": "0.1.0", "DEL": "0.1.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


def test_they_are_the_released_ones_in_order() -> None:
    assert SPEC_VERSIONS == ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
    assert CURRENT == "1.1.0"


@each_version
def test_a_released_version_is_supported(version: str) -> None:
    require_supported(version)


@pytest.mark.parametrize("version", ["", "0.1", "1.0", "1.1.0 ", "1.2.0", "v1.0.0", "1.1.0-rc1"])
def test_any_other_is_not_and_the_error_lists_those_that_are(version: str) -> None:
    with pytest.raises(CniError) as raised:
        require_supported(version)
    assert raised.value.code == INCOMPATIBLE_VERSION
    assert f'"cniVersion": found "{version}"' in raised.value.msg
    assert "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0" in raised.value.msg


@pytest.mark.parametrize("verb", FIRST)
@each_version
def test_a_verb_is_known_from_its_version_on(verb: str, version: str) -> None:
    if at_least(version, FIRST[verb]):
        require_verb(version, verb)
        return
    with pytest.raises(CniError, match=rf"{verb} needs cniVersion {FIRST[verb]}") as raised:
        require_verb(version, verb)
    assert raised.value.code == INCOMPATIBLE_VERSION
    assert f'"{version}"' in raised.value.msg


def test_versions_compare_by_age_and_not_as_text() -> None:
    assert at_least("1.0.0", "0.4.0")
    assert at_least("0.4.0", "0.4.0")
    assert not at_least("0.3.1", "0.4.0")
