"""One attachment: what it asked for, what it holds, and the tasks that keep it."""

from __future__ import annotations

import asyncio

from cni import jsontext
from cni.errors import TRY_AGAIN_LATER, CniError
from cni.journal import log
from cni.record import replace
from cni_dhcp import files
from cni_dhcp.config import read_terms
from cni_dhcp.daemon import outcome, router, waiting
from cni_dhcp.daemon.applied import Given
from cni_dhcp.daemon.client4 import Client4
from cni_dhcp.daemon.client6 import Client6
from cni_dhcp.daemon.conversation import Tally
from cni_dhcp.daemon.holding import Holding
from cni_dhcp.daemon.keeper import keep
from cni_dhcp.daemon.lease import Lease4, Lease6, now, read_lease4, read_lease6
from cni_dhcp.daemon.outcome import Seen6
from cni_dhcp.daemon.place import GoneError, Site, read_place
from hostnet import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeVar

    from cni.jsonvalue import JsonObject, JsonValue
    from cni.result import Result
    from cni_dhcp.config import Terms
    from cni_dhcp.daemon.holding import Settings
    from cni_dhcp.daemon.place import Place

    L = TypeVar("L", Lease4, Lease6)


class Attachment:
    """At a place, on its terms. on_gone: called when the place turns out to be gone."""

    def __init__(
        self,
        place: Place,
        terms: Terms,
        settings: Settings,
        on_gone: Callable[[Attachment, str], None],
    ) -> None:
        self.place = place
        self.terms = terms
        self._settings = settings
        self._on_gone = on_gone
        self._wakes: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.four: Holding[Lease4] = Holding(
            f"{place.owner} IPv4",
            place,
            settings,
            Client4(place.client_id, terms, settings.limits),
            given=self._given4,
            ready=waiting.running,
            save=self.save,
        )
        self.six: Holding[Lease6] = Holding(
            f"{place.owner} IPv6",
            place,
            settings,
            Client6(place.owner, terms, settings.limits),
            given=self._given6,
            ready=router.ready,
            save=self.save,
        )

    def _given4(self, lease: Lease4) -> Given:
        terms = self.terms
        gateway = outcome.gateway(terms, lease)
        return Given(lease.address, gateway, outcome.routes4(terms, lease))

    def _given6(self, lease: Lease6) -> Given:
        return Given(outcome.interface6(lease))

    # ---- ADD ------------------------------------------------------------------------------------

    async def obtain(self, site: Site) -> Result:
        """Ask the network for everything at once. Raises CniError when the time is over."""
        seen = Seen6()

        async def four(tally: Tally) -> bool:
            return await self.four.obtain(site, tally, self._settings.limits.resend_timeout)

        async def six(tally: Tally) -> bool:
            nonlocal seen
            seen = await self._obtain6(site, tally)
            return bool(seen.addresses) or self.six.lease is not None

        if not site.link().up:
            link.set_up(site.nl, site.place.index)
        tasks: list[Coroutine[None, None, None]] = []
        if self.terms.ipv4:
            tasks.append(self._within_time("DHCPv4 server", four))
        if self.terms.ipv6 != "none":
            await router.prepare(site, form=self.terms.ipv6 != "dhcp")
            what = "router" if self.terms.ipv6 == "slaac" else "DHCPv6 server or router"
            tasks.append(self._within_time(what, six))
        await _together(tasks)
        return outcome.result(self.terms, self.four.lease, self.six.lease, seen)

    async def _obtain6(self, site: Site, tally: Tally) -> Seen6:
        """An address from a server or of a router's prefix, as the terms say."""
        limits = self._settings.limits
        seconds = limits.resend_timeout
        if self.terms.ipv6 == "dhcp":
            patience = min(router.ROUTER_SECONDS, seconds / 2)
            await asyncio.gather(
                self.six.obtain(site, tally, seconds),
                router.solicit(site, limits, tally, patience, lambda seen: seen.router),
            )
            return replace(router.seen(site), addresses=())
        auto = self.terms.ipv6 == "auto"

        def enough(seen: Seen6) -> bool:
            if seen.managed and not seen.addresses and not auto:
                tally.note_problem('the router says that a DHCPv6 server gives addresses ("auto")')
            return bool(seen.addresses) or (auto and seen.managed)

        seen = await router.solicit(site, limits, tally, seconds, enough)
        if auto and seen is not None and seen.managed:
            await self.six.obtain(site, tally, seconds)
        return router.seen(site)

    async def _within_time(
        self, what: str, get: Callable[[Tally], Coroutine[None, None, bool]]
    ) -> None:
        """Raises CniError that tells what was tried."""
        tally = Tally()
        seconds = self._settings.limits.resend_timeout
        try:
            async with asyncio.timeout(seconds):
                got = await get(tally)
        except TimeoutError:
            got = False
        if not got:
            raise CniError(
                TRY_AGAIN_LATER,
                f"no {what} gave interface {self.place.ifname} an address within {seconds:g} s "
                f"({tally}); see that one serves the network which the interface is attached to, "
                "has addresses left, and that nothing in between filters its packets",
            )

    # ---- afterwards -----------------------------------------------------------------------------

    def keep(self) -> None:
        """Begin to keep what it holds."""
        if self.terms.ipv4:
            self._start(self.four)
        # With `auto` only if the router spoke of a server.
        if self.terms.ipv6 == "dhcp" or self.six.lease is not None:
            self._start(self.six)

    def _start(self, holding: Holding[L]) -> None:
        wake = asyncio.Event()
        self._wakes.append(wake)
        self._tasks.append(asyncio.create_task(self._keep(holding, wake)))

    async def _keep(self, holding: Holding[L], wake: asyncio.Event) -> None:
        try:
            await keep(holding, self._settings.limits, wake)
        except GoneError as gone:
            self._on_gone(self, str(gone))

    def renew(self) -> None:
        """Renew now."""
        for wake in self._wakes:
            wake.set()

    def abandon(self) -> list[asyncio.Task[None]]:
        """End every task but the one that calls this; those that end."""
        own = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not own]
        self._tasks, self._wakes = [], []
        for task in tasks:
            task.cancel()
        return tasks

    async def stop(self) -> None:
        """Stop keeping; what is held stays as it is."""
        await asyncio.gather(*self.abandon(), return_exceptions=True)

    async def release(self) -> None:
        """Stop, give back what is held, and forget it.

        What cannot be told to a server is logged: it has the address back when the lease ends.
        """
        await self.stop()
        try:
            with Site(self.place, self._settings.prefix) as site:
                await asyncio.gather(_release(self.four, site), _release(self.six, site))
        except GoneError as gone:
            log("not released", lease=self.place.owner, error=str(gone))
        self.forget()

    def problems(self, place: Place) -> list[str]:
        """What is wrong, in words, with what the attachment at this place should have."""
        found = []
        if place.namespace != self.place.namespace:
            found.append("the lease is of another namespace, that had the same container id")
        for wanted, holding, what in (
            (self.terms.ipv4, self.four, "IPv4"),
            (self.terms.ipv6 == "dhcp", self.six, "IPv6"),
        ):
            if wanted and holding.lease is None:
                found.append(f"the {what} lease is lost, and no server gives another one")
            elif wanted and holding.times.expiry <= now():
                found.append(f"the {what} lease of {holding.address} has run out")
        return found

    @property
    def addresses(self) -> list[str]:
        """Those that are leased, with prefix length."""
        return [one for one in (self.four.address, self.six.address) if one]

    # ---- the file -------------------------------------------------------------------------------

    def save(self) -> None:
        """Write it down. Raises OSError."""
        document: dict[str, JsonValue] = {
            **self.place.document(),
            "terms": self.terms.document(),
            "lease4": self.four.document,
            "lease6": self.six.document,
        }
        name = files.name_of(self.place.owner)
        files.write(self._settings.directory, name, jsontext.dumps(document).encode())

    def forget(self) -> None:
        """Remove the file. Raises OSError."""
        files.remove(self._settings.directory, files.name_of(self.place.owner))


def read_attachment(
    document: JsonObject, settings: Settings, on_gone: Callable[[Attachment, str], None]
) -> Attachment:
    """What `save` wrote. Raises CniError, ValueError, TypeError."""
    place, terms = read_place(document), read_terms(document.object("terms"))
    attachment = Attachment(place, terms, settings, on_gone)
    if document.has("lease4"):
        attachment.four.lease = read_lease4(document.object("lease4"))
    if document.has("lease6"):
        attachment.six.lease = read_lease6(document.object("lease6"))
    return attachment


async def _release(holding: Holding[L], site: Site) -> None:
    try:
        await holding.release(site)
    except OSError as error:
        log("not released", lease=holding.label, error=str(error))


async def _together(coroutines: list[Coroutine[None, None, None]]) -> None:
    """Run them at once; the first failure ends all, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in coroutines:
                group.create_task(one)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
