"""The map of the package, in its docstring, names every module and no other."""

from __future__ import annotations

import pkgutil
import re

import cni_vxlan


def test_every_module_is_on_the_map() -> None:
    assert cni_vxlan.__doc__
    listed = re.findall(r"^    (\w+) {2,}\S", cni_vxlan.__doc__, re.MULTILINE)
    assert sorted(listed) == sorted(
        module.name for module in pkgutil.iter_modules(cni_vxlan.__path__)
    )
