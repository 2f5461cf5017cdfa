"""Keep a lease: renew it, rebind it, replace it (RFC 2131, section 4.4.5; RFC 8415, section 18.2).

One way for both protocols; what differs is in the clients.
"""

from __future__ import annotations

import asyncio

from cni.journal import log
from cni_dhcp.daemon.conversation import RefusedError, pauses
from cni_dhcp.daemon.lease import BOUND, EXPIRED, REBINDING, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from cni_dhcp.daemon.conversation import Limits
    from cni_dhcp.daemon.holding import Holding
    from cni_dhcp.daemon.lease import Lease4, Lease6

    L = TypeVar("L", Lease4, Lease6)

_LONGEST_NAP = 300.0
"""The loop's clock stands still while the machine sleeps, and the leases' does not."""
_RETRY_SECONDS = 60.0
_FAULT_SECONDS = 10.0


async def keep(holding: Holding[L], limits: Limits, wake: asyncio.Event) -> None:
    """Keep the lease until cancelled. Raises GoneError when the place is gone.

    wake: set by somebody who wants it renewed now.
    """
    while True:
        try:
            if holding.lease is None:
                await _regain(holding, limits, wake)
            await _step(holding, limits, wake)
        except OSError as error:
            log("cannot work", lease=holding.label, error=str(error))
            await _nap(wake, _FAULT_SECONDS)


async def _step(holding: Holding[L], limits: Limits, wake: asyncio.Event) -> None:
    """Wait for what comes next for a lease that is held, and do it."""
    times = holding.times
    phase = times.phase(now())
    if phase == BOUND and not await _nap(wake, min(times.renewal - now(), _LONGEST_NAP)):
        return
    if phase == EXPIRED:
        log("expired", lease=holding.label, address=holding.address)
        holding.drop()
        return
    end = times.expiry if phase == REBINDING else times.rebinding
    everybody = phase == REBINDING
    patience = min(limits.timeout, end - now())
    wake.clear()
    try:
        answered = await holding.extend(patience, everybody=everybody)
    except RefusedError as refused:
        log("refused", lease=holding.label, address=holding.address, error=str(refused))
        # The address stays for as long as it takes to get another one, but not for longer.
        if not await holding.discover(limits.timeout):
            holding.drop()
        return
    if not answered:
        log("no answer", lease=holding.label, address=holding.address, everybody=everybody)
        left = max(end - now(), 0.0)
        await _nap(wake, max(left / 2, min(_RETRY_SECONDS, left)))


async def _regain(holding: Holding[L], limits: Limits, wake: asyncio.Event) -> None:
    """Ask for an address until there is one.

    In rounds, between which nothing of the container's is held open: see `place`.
    """
    waits = pauses(limits)
    while not await holding.discover(limits.timeout):
        await _nap(wake, next(waits))
        wake.clear()


async def _nap(wake: asyncio.Event, seconds: float) -> bool:
    """Wait; True where somebody wants it done now, until it is tried."""
    try:
        await asyncio.wait_for(wake.wait(), max(seconds, 0.0))
    except TimeoutError:
        return False
    return True
