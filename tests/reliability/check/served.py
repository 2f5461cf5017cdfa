"""libcni over plugins that are served in this process, as a warm worker of the daemon serves them.

A matrix of some hundred CHECKs of chains of six plugins takes seconds so, and minutes with a
process for each.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import libcni
from cni.execute import Outcome
from cni.skel import serve
from libcni.attachment import NOBODY
from libcni.invoke import Invoker, failure
from tests.kit import calls


class ServedInvoker(Invoker):
    """Calls the plugins of a bundle through the door, without a process."""

    runtime: calls.Runtime

    def call(
        self,
        command: str,
        kind: str,
        stdin: bytes,
        attachment: libcni.Attachment = NOBODY,
        cancel: libcni.Cancel | None = None,
    ) -> bytes:
        if kind not in self.runtime.loaders:  # somebody else's
            return super().call(command, kind, stdin, attachment, cancel)
        environ = {
            "PATH": os.environ["PATH"],
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": attachment.netns,
            "CNI_IFNAME": attachment.ifname,
            "CNI_ARGS": attachment.args_text(),
            "CNI_PATH": os.pathsep.join(self.path),
        }
        stdout = io.BytesIO()
        status = serve(kind, self.runtime.bundle, environ, io.BytesIO(stdin), stdout)
        if status:
            raise failure(Outcome(status, stdout.getvalue(), b""))
        return stdout.getvalue()


class ServedRuntime(libcni.Runtime):
    """libcni's runtime over the bundle of a test's; its cache is in `cache`."""

    def __init__(self, runtime: calls.Runtime, cache: Path) -> None:
        super().__init__([str(runtime.path)], str(cache))
        of_test = type("_Invoker", (ServedInvoker,), {"runtime": runtime})
        self._invoker = of_test((str(runtime.path),), os.environ)
