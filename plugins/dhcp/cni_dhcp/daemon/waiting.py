"""Wait until something in a container's namespace is so, by the kernel's announcements."""

from __future__ import annotations

import asyncio

from hostnet import link
from hostnet.monitor import RTNLGRP_LINK, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from cni_dhcp.daemon.place import Site
    from hostnet.link import Link

    T = TypeVar("T")

CARRIER_SECONDS = 5.0
_IF_OPER_UNKNOWN = 0  # <linux/if.h>


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
    """Wait until what the interface sends goes out; whether it does.

    Where it never does, a client asks all the same.
    """
    return bool(
        await until(site, lambda: _runs(site.link()) or None, CARRIER_SECONDS, RTNLGRP_LINK)
    )


def _runs(found: Link) -> bool:
    """Some kinds, such as ipvlan, have a carrier and tell no state."""
    return found.running or (
        found.carrier and found.attribute(link.IFLA_OPERSTATE) == bytes([_IF_OPER_UNKNOWN])
    )
