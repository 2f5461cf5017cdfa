from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.names import ifname_problem, name_problem
from tests.kit.host import Host


@pytest.mark.parametrize(
    "name", ["a", "0", "cni0", "A-b_c.d", "a..b", "a-", "9" * 64, "k8s.io_x", "x" * 200]
)
def test_names_the_spec_allows(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "../../x", "a/b", "/a", ".", "..", ".a", "-a", "_a", "a b", "a\n", "\n", "a\0", "ä", "aä",
        "٣", "a;b", "a:b", "\ud800", "a\udcff", "x" * 201,
    ],
)  # fmt: skip
def test_names_the_spec_refuses(name: str) -> None:
    problem = name_problem(name)
    assert problem
    problem.encode()  # it can be written, whatever the name holds
    assert len(problem) < 400


def test_an_empty_name_is_said_to_be_empty() -> None:
    assert name_problem("") == ifname_problem("") == "it is empty"


@pytest.mark.parametrize(
    "name", ["eth0", "a", "...", "-", "x" * 15, "é" * 7, "e@b", "veth-1_2.3", "eth\u2192", "日本語"]
)
def test_interface_names_the_kernel_allows(name: str) -> None:
    assert ifname_problem(name) == ""


# What the kernel does with them: refuses all but the pattern, of which it makes another name.
REFUSED = ["x" * 16, "é" * 8, ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u00e0", "eth%d", "a%b"]


@pytest.mark.parametrize("name", REFUSED)
def test_interface_names_the_kernel_refuses(name: str) -> None:
    assert ifname_problem(name)


@pytest.mark.parametrize("name", ["a\x01", "a\x7f", "a\u200b", "a\ud800", "a\u00a0b"])
def test_interface_names_a_result_could_not_tell(name: str) -> None:
    problem = ifname_problem(name)
    assert "printable" in problem
    problem.encode()


def test_a_length_is_told_in_bytes() -> None:
    assert ifname_problem("é" * 8) == "found 'éééééééé' of 16 bytes, expected at most 15"


def _kernel_takes(name: str) -> bool:
    """Whether a bridge made under this name has it."""
    _ip("link", "add", "name", name, "type", "bridge")
    made = _ip("link", "delete", "dev", name)
    _ip("link", "delete", "dev", "eth0")  # what eth%d became
    return made


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0


def test_the_kernel_agrees(host: Host) -> None:
    accepted = ["eth0", "...", "x" * 15, "é" * 7, "日本語", "e@b"]
    assert [name for name in accepted if not _kernel_takes(name)] == []
    assert [name for name in REFUSED if _kernel_takes(name)] == []


@settings(max_examples=300)
@given(st.text(max_size=20))
def test_any_text_is_judged_and_a_good_name_is_safe(name: str) -> None:
    if not name_problem(name):
        assert name.isascii()
        assert "/" not in name
        assert name not in (".", "..")
    if not ifname_problem(name):
        assert 0 < len(name.encode()) <= 15
        assert not set("/:% \t\n\0") & set(name)
