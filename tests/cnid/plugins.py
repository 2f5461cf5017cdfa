"""The plugins that the tests' daemon and cold executable have: the suite's, and one for tests."""

from __future__ import annotations

from collections.abc import Callable

from cni.skel import Plugin
from cni_bundle import plugins


def _probe() -> Plugin:
    from tests.cnid.probe import PLUGIN

    return PLUGIN


PLUGINS: dict[str, Callable[[], Plugin]] = {**plugins.PLUGINS, "probe": _probe}
