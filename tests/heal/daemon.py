"""A `cnid` that heals the containers of a test's world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cnid.daemon import Daemon, Suite, wait_until
from tests.heal.conftest import World


class Place(Suite):
    """Where a daemon has its socket; it serves nobody here."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "cnid.sock"


class Healing(Daemon):
    """`with Healing(world, directory) as daemon:` it runs, and has looked once."""

    def __init__(self, world: World, directory: Path, **environ: str) -> None:
        super().__init__(
            Place(directory),
            "--workers=1",
            "--conf-dir=",
            f"--cache-dir={world.cache.directory}",
            f"--bin-dir={world.runtime.path}",
            environ=environ,
        )
        try:
            self.wait_looks(1)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Healing:
        return self

    def heal(self) -> dict[str, Any]:
        """What `cnid status` says of it."""
        return dict(self.status()["heal"])

    def wait_looks(self, count: int) -> None:
        """Wait until it has looked so often."""
        wait_until(lambda: self.heal()["looks"] >= count)

    def healed(self, count: int = 1) -> list[dict[str, Any]]:
        """The lines of the log that say so, when there are that many."""
        return self.wait_for(lambda line: line["msg"] == "healed", count)
