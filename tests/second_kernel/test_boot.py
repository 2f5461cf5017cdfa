"""Boots User-Mode-Linux on this tree and runs the tests of `inside` in it.

Debian's `user-mode-linux` is a kernel as an ordinary program. It has what the kernels of small
virtual machines are built without: VLAN filtering of bridges, links of the kinds ipvlan, vlan, vrf
and dummy, and a network card that may be taken away. It has no nf_tables, so it also shows how the
plugins fare on such a host.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

KERNEL = "linux.uml"
INIT = Path(__file__).with_name("init.sh")
SECONDS = 590  # a tenth of it where nobody else works


@pytest.mark.timeout(SECONDS + 10)
def test_inside_the_second_kernel(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wire = tmp_path / "wire"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(wire))
        listener.listen(64)  # one for each time that the card comes up
        said = _boot(
            f"init={INIT}",
            "mem=512M",
            f"vec0:transport=bess,dst={wire}",  # a network card, with nobody on the wire
            *_options(request.config),
        )
    assert "the tests ended with status 0" in said, said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) >= 43, said


def _boot(*options: str) -> str:
    """Boot a kernel that halts by itself; what its console has said."""
    console = ("con=null", "con0=null,fd:1", "quiet")
    with subprocess.Popen(
        [KERNEL, "rootfstype=hostfs", "rootflags=/", "rw", *console, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as kernel:
        try:
            said, _ = kernel.communicate(timeout=SECONDS)
        except BaseException as error:
            os.killpg(kernel.pid, signal.SIGKILL)  # it is several processes
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said, _ = kernel.communicate()
    return said.decode(errors="replace")


def _options(config: pytest.Config) -> list[str]:
    """What the tests inside are told of those of tests/conftest.py: a kernel hands its first
    process as variables what it does not know itself.
    """
    return [f"PYCNI_{one.upper()}=--{one}" for one in ("whole", "tables") if config.getoption(one)]
