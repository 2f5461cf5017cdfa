"""Wait until something in a container's namespace is so, by the kernel's announcements."""

from __future__ import annotations

import asyncio

from hostnet.monitor import RTNLGRP_LINK, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from cni_dhcp.daemon.place import Site

    T = TypeVar("T")

CARRIER_SECONDS = 5.0


async def until(
    site: Site, check: Callable[[], T | None], seconds: float, *groups: int
) -> T | None:
    """Call `check` now and after each announcement of the groups until it gives something.

    None when the time is over.
    """
    with site.ns.entered():
        monitor = Monitor(*groups)
    with monitor:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            found = check()
            if found is not None:
                return found
            left = end - loop.time()
            if left <= 0 or not await _readable(monitor.fileno(), left):
                return None
            monitor.take()


async def _readable(fd: int, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), seconds)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True


async def running(site: Site) -> bool:
    """Wait until the interface is up with a carrier; whether it is.

    Where it never is, a client asks all the same: some kinds tell no state.
    """
    return bool(
        await until(site, lambda: site.link().running or None, CARRIER_SECONDS, RTNLGRP_LINK)
    )
