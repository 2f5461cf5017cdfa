"""The daemon's command line: the reference's flags, read as Go reads them."""

from __future__ import annotations

import pytest

from cni_dhcp.daemon.flags import Flags, UsageError, duration, parse
from cni_dhcp.daemon.main import main


def test_the_defaults_are_the_references() -> None:
    assert parse([]) == Flags("", "", "", False, 10.0, 62.0, 208.0)


def test_every_flag_in_every_form() -> None:
    assert parse(
        ["-pidfile", "/run/p", "--hostprefix=/host", "-socketpath=/run/s", "-broadcast",
         "-timeout=1m30s", "--resendmax", "500ms", "-resendtimeout", "1.5h", "--"]
    ) == Flags("/run/p", "/host", "/run/s", True, 90.0, 0.5, 5400.0)  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [("=true", True), ("=0", False), ("", True)])
def test_booleans(text: str, value: bool) -> None:
    assert parse([f"-broadcast{text}", "-timeout=1s"]).broadcast is value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("10s", 10), ("1h2m3.5s", 3723.5), (".5m", 30), ("7us", 7e-6), ("-1s", -1)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-nope"], "provided but not defined: -nope"),
        (["-__annotations__=x"], "provided but not defined"),
        (["-timeout"], "needs an argument"),
        (["-timeout", "10"], 'invalid value "10"'),
        (["-timeout=0"], "more than 0"),
        (["-resendmax=-1s"], "more than 0"),
        (["-broadcast=maybe"], "invalid boolean"),
        (["now"], "unexpected argument: now"),
    ],
)
def test_what_is_wrong_is_told(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=why):
        parse(arguments)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "-resendtimeout duration" in said


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-help"]) == 0
    assert "Usage of dhcp daemon" in capsys.readouterr().err


def test_a_pidfile_must_be_absolute(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-pidfile=here"]) == 1
    assert "expected an absolute path" in capsys.readouterr().err
