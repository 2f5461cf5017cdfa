"""nftables rules, through libnftables: text in, one transaction, nft's own words when it fails.

The library is loaded with the first command: 4.6 ms, of which 3 are ctypes. That is why elements
are written by `nfchange` and the rest is looked over by `nftable` first: on a host that is set up,
a plugin's call needs no libnftables at all.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Nftables(Protocol):
        """What is used of `nftables.Nftables`, which has no annotations."""

        def cmd(self, cmdline: str) -> tuple[int, str, str]: ...

        def set_handle_output(self, val: bool) -> bool: ...

        def set_stateless_output(self, val: bool) -> bool: ...


# What is in the name of a table, chain, set or map as nft's scanner takes it.
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_NAME_LONGEST = 127  # NFT_NAME_MAXLEN - 1
_NO_WORDS = frozenset("\"'\\;#")
_SHOWN = 160
_LIBRARY = "libnftables.so.1"


class NftError(OSError):
    """libnftables is missing, or refused a transaction; `commands` is what was asked, `words` its
    answer.
    """

    def __init__(self, code: int, commands: str, words: str) -> None:
        super().__init__(code, words)
        self.commands = commands
        self.words = words

    def __str__(self) -> str:
        lines = self.commands.strip().splitlines()
        if len(lines) == 1:
            return f"nftables cannot do `{lines[0][:_SHOWN]}`: {self.words}"
        return f"nftables cannot do these {len(lines)} commands in one: {self.words}"


def run(commands: str) -> str:
    """Carry out nft commands, one a line, all or none; gives what they print.

    They act in the network namespace of the calling thread. The caller builds them from values it
    has checked: numbers, `ipaddress` objects, `name` and `words`. Raises NftError.
    """
    # A context of its own for each call: it keeps a socket of the namespace it was made in, and
    # takes 20 µs once the library is there.
    code, output, error = _context(commands).cmd(commands)
    if code != 0:
        raise _failure(commands, error)
    return output


def listing(family: str, table: str) -> str:
    """A table as `nft -a -s list table` prints it: with handles, without counters.

    Names as the kernel has them, whoever made the table. Raises NftError.
    """
    command = f"list table {family} {table}"
    context = _context(command)
    context.set_handle_output(True)
    context.set_stateless_output(True)
    code, output, error = context.cmd(command)
    if code != 0:
        raise _failure(command, error)
    return output


def load() -> None:
    """Raise NftError unless libnftables can be loaded.

    The library alone: STATUS, which some runtimes ask every five seconds, would wait 9 ms for its
    binding, which brings ctypes and json.
    """
    import _ctypes

    try:
        _ctypes.dlopen(_LIBRARY, os.RTLD_NOW)
    except OSError as error:
        raise _missing("load", error) from error


def name(text: str) -> str:
    """`text`, if nft can have it as a name. Raises ValueError."""
    if not _NAME.issuperset(text) or not text[:1].isalpha() or len(text) > _NAME_LONGEST:
        raise ValueError(f"{text!r} cannot be a name in nftables")
    return text


def words(text: str) -> str:
    """`text`, if it cannot end the command it is put into. Raises ValueError.

    Whether it means anything is for nft to say.
    """
    if not text.isprintable() or not _NO_WORDS.isdisjoint(text):
        raise ValueError(
            f"{text!r} holds a control character, a quote or one of ; # \\, none of which an nft "
            "expression needs"
        )
    return text


def _context(commands: str) -> _Nftables:
    try:
        import nftables

        context: _Nftables = nftables.Nftables()
    except (ImportError, OSError) as error:
        raise _missing(commands, error) from error
    return context


def _missing(commands: str, error: Exception) -> NftError:
    return NftError(
        errno.ENOPKG,
        commands,
        f"libnftables cannot be loaded: {error}; install libnftables1 (Debian, Ubuntu) or "
        "nftables-libs",
    )


def _failure(commands: str, error: str) -> NftError:
    """The refusal in nft's words, the first of them: the rest are mostly its consequences.

    The line that nft prints below each is the first of a buffer, not that of the mistake.
    """
    lines = error.strip().splitlines()
    said = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    words = (said or lines or ["it says nothing"])[0]
    if len(said) > 1:
        words += f" (and {len(said) - 1} more errors)"
    return NftError(errno.EPERM if "not permitted" in error else errno.EINVAL, commands, words)
