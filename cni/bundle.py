"""The plugins that live in one executable, and how to know its file under another name."""

from __future__ import annotations

import os

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.skel import Plugin


@record
class Bundle:
    """A multi-call executable. plugins: name -> what imports it. executable: the running file."""

    plugins: Mapping[str, Callable[[], Plugin]]
    executable: str

    def owns(self, name: str, path: str) -> bool:
        """Whether the file at `path` is this bundle under the name of one of its plugins.

        The names are hard links, but not every way of copying a directory keeps them: a file with
        the same bytes is the same executable.
        """
        if name not in self.plugins:
            return False
        try:
            one, other = os.stat(path), os.stat(self.executable)
            if os.path.samestat(one, other):
                return True
            if one.st_size != other.st_size:
                return False
            with open(path, "rb") as first, open(self.executable, "rb") as second:
                return first.read() == second.read()
        except OSError:
            return False
