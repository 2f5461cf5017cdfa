"""Boots User-Mode-Linux on this tree and runs the tests of `inside` in it.

It has links that this kernel lacks, and no nf_tables, so it also shows how the plugins fare on such
a host.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.kit.second_kernel import boot

INIT = Path(__file__).with_name("init.sh")
SECONDS = 590  # a tenth of it where nobody else works


@pytest.mark.timeout(SECONDS + 10)
def test_inside_the_second_kernel(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wire = tmp_path / "wire"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(wire))
        listener.listen(64)  # one for each time that the card comes up
        said = boot(
            INIT,
            f"vec0:transport=bess,dst={wire}",  # a network card, with nobody on the wire
            *_options(request.config),
            seconds=SECONDS,
        )
    assert "the tests ended with status 0" in said, said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) >= 43, said


def _options(config: pytest.Config) -> list[str]:
    """What the tests inside are told of those of tests/conftest.py: a kernel hands its first
    process as variables what it does not know itself.
    """
    return [f"PYCNI_{one.upper()}=--{one}" for one in ("whole", "tables") if config.getoption(one)]
