from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni_bundle.environment import restore_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = "/opt/cni/bin/pycni-lib-0"
NOTES = {
    "_PYI_APPLICATION_HOME_DIR": HOME,
    "_PYI_ARCHIVE_FILE": "/opt/cni/bin/bridge",
    "_PYI_LINUX_PROCESS_NAME": "bridge",
    "_PYI_PARENT_PROCESS_LEVEL": "1",
}


@pytest.mark.parametrize(
    ("made", "meant"),
    [
        pytest.param({"LD_LIBRARY_PATH": HOME}, {}, id="none before"),
        pytest.param(
            {"LD_LIBRARY_PATH": f"{HOME}:/a:/b", "LD_LIBRARY_PATH_ORIG": "/a:/b"},
            {"LD_LIBRARY_PATH": "/a:/b"},
            id="one before",
        ),
        pytest.param(
            {"LD_LIBRARY_PATH": f"{HOME}:", "LD_LIBRARY_PATH_ORIG": ""},
            {"LD_LIBRARY_PATH": ""},
            id="an empty one before",
        ),
        pytest.param(
            {"LD_LIBRARY_PATH": HOME, "LD_LIBRARY_PATH_ORIG": "/mine"},
            {"LD_LIBRARY_PATH_ORIG": "/mine"},
            id="the caller's own variable of that name",
        ),
        pytest.param({"LD_LIBRARY_PATH": f"{HOME}x"}, {"LD_LIBRARY_PATH": f"{HOME}x"}, id="other"),
        pytest.param({}, {}, id="not started by the bootloader"),
    ],
)
def test_restores_what_the_caller_gave(made: Mapping[str, str], meant: Mapping[str, str]) -> None:
    environ = {"PATH": "/bin", **NOTES, **made}
    restore_environment(environ, HOME)
    assert environ == {"PATH": "/bin", **meant}
