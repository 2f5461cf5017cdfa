"""libnftables: what it says when it refuses, and what may be put into its commands."""

from __future__ import annotations

import errno
import sys

import pytest

from hostnet import nft
from hostnet.nft import NftError
from tests.kit.host import Host
from tests.kit.namespace import Namespace


def test_one_transaction_all_or_nothing(host: Host) -> None:
    with pytest.raises(NftError) as refused:
        nft.run("add table inet one\nadd chain inet one c\nadd rule inet one c jump nowhere")
    assert str(refused.value) == (
        "nftables cannot do these 3 commands in one: Could not process rule: "
        "No such file or directory"
    )
    assert "add rule inet one c jump nowhere" in refused.value.commands
    assert nft.run("list tables") == ""


def test_of_many_errors_the_first_is_told(host: Host) -> None:
    with pytest.raises(NftError, match=r"one: Could not .* directory \(and 1 more errors\)"):
        nft.run("add rule inet one c accept\nadd rule inet two c accept")


def test_a_command_alone_is_named(host: Host) -> None:
    with pytest.raises(NftError, match="nftables cannot do `add chain inet one c banana`: syntax"):
        nft.run("add chain inet one c banana")


def test_it_acts_in_the_namespace_of_the_thread(host: Host, container: Namespace) -> None:
    container.run(nft.run, "add table inet inside")
    assert nft.run("list tables") == ""
    assert container.run(nft.run, "list tables") == "table inet inside\n"
    container.run(nft.run, "delete table inet inside")


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)
    with pytest.raises(NftError, match="install libnftables1") as refused:
        nft.run("list tables")
    assert refused.value.errno == errno.ENOPKG


def test_it_is_known_beforehand_whether_the_library_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nft.load()
    monkeypatch.setattr(nft, "_LIBRARY", "libnftables.so.0")
    with pytest.raises(NftError, match=r"libnftables\.so\.0: cannot open.*install libnftables1"):
        nft.load()


@pytest.mark.parametrize("text", ["gate-1a", "subnet_10.1.0.0/24", "a" * 127])
def test_names(text: str) -> None:
    assert nft.name(text) == text


@pytest.mark.parametrize("text", ["", "1a", "a b", "a;b", 'a"', "a{", "é", "a" * 128, "a\n", "-a"])
def test_names_nft_could_not_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        nft.name(text)


@pytest.mark.parametrize(
    "text", ["ip daddr != 192.0.2.0/24", "tcp dport { 80, 443 }", "meta mark & 0x1 == 0", ""]
)
def test_words(text: str) -> None:
    assert nft.words(text) == text


@pytest.mark.parametrize(
    "text", ["accept; flush ruleset", "a\nb", 'log prefix "x"', "a # b", "a\\", "'", "\0", "a\x7f"]
)
def test_words_that_could_end_the_command_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="none of which"):
        nft.words(text)
