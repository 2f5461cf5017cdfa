"""One protocol's lease of an attachment: obtained, extended, taken in place of another.

A lease that changes is put on the interface and written down before anything else happens.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from cni.journal import log
from cni.record import record
from cni_dhcp.daemon import applied
from cni_dhcp.daemon.conversation import Tally
from cni_dhcp.daemon.lease import Lease4, Lease6
from cni_dhcp.daemon.place import Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cni.jsonvalue import JsonValue
    from cni_dhcp.daemon.applied import Given
    from cni_dhcp.daemon.conversation import Limits
    from cni_dhcp.daemon.lease import Times
    from cni_dhcp.daemon.place import Place

L = TypeVar("L", Lease4, Lease6)


class Client(Protocol[L]):
    """What `client4` and `client6` have in common; see there."""

    async def discover(
        self, site: Site, tally: Tally, seconds: float, former: L | None = None
    ) -> L | None: ...

    async def extend(
        self, site: Site, lease: L, seconds: float, *, everybody: bool
    ) -> L | None: ...

    async def release(self, site: Site, lease: L) -> None: ...


@record
class Settings:
    """Of the daemon. prefix: where the host's root is. directory: of the leases' files."""

    prefix: str
    directory: str
    limits: Limits


class Holding(Generic[L]):
    """The lease, or None, and what is done about it.

    given: what an interface has by a lease. ready: waits until an interface can be talked through.
    save: writes the attachment down.
    """

    def __init__(
        self,
        label: str,
        place: Place,
        settings: Settings,
        client: Client[L],
        *,
        given: Callable[[L], Given],
        ready: Callable[[Site], Awaitable[object]],
        save: Callable[[], None],
    ) -> None:
        self.label = label
        self.lease: L | None = None
        self._place = place
        self._prefix = settings.prefix
        self._client: Client[L] = client
        self._given: Callable[[L], Given] = given
        self._ready = ready
        self._save = save
        self._is_configured = True

    @property
    def times(self) -> Times:
        """Of the lease that is held."""
        assert self.lease is not None
        return self.lease.times

    @property
    def address(self) -> str:
        """With its prefix length; empty without a lease."""
        return "" if self.lease is None else str(self._given(self.lease).address)

    @property
    def document(self) -> JsonValue:
        return None if self.lease is None else self.lease.document()

    async def obtain(self, site: Site, tally: Tally, seconds: float) -> bool:
        """Get the first lease, for somebody else to put it on the interface."""
        await self._ready(site)
        self.lease = await self._client.discover(site, tally, seconds)
        return self.lease is not None

    async def discover(self, seconds: float) -> bool:
        """Get another one, in the place of one that is held. Raises GoneError, OSError."""
        tally = Tally()
        with Site(self._place, self._prefix) as site:
            await self._ready(site)
            lease = await self._client.discover(site, tally, seconds, self.lease)
            if lease is not None:
                self._take(site, lease)
        if lease is None:
            log("no lease", lease=self.label, error=str(tally))
        return lease is not None

    async def extend(self, seconds: float, *, everybody: bool) -> bool:
        """Have the server extend it; whether one answered.

        Raises RefusedError, GoneError, OSError.
        """
        assert self.lease is not None
        with Site(self._place, self._prefix) as site:
            await self._ready(site)
            lease = await self._client.extend(site, self.lease, seconds, everybody=everybody)
            if lease is not None:
                self._take(site, lease)
        return lease is not None

    def drop(self) -> None:
        """Have no lease, and no address of one. Raises GoneError, OSError."""
        with Site(self._place, self._prefix) as site:
            self._take(site, None)

    async def release(self, site: Site) -> None:
        """Give the lease back; the interface stops using the address first. Raises OSError."""
        lease = self.lease
        if lease is None:
            return
        self._put(site, None)
        await self._ready(site)
        await self._client.release(site, lease)
        self.lease = None

    def _take(self, site: Site, lease: L | None) -> None:
        changed = self._put(site, lease)
        self.lease = lease
        self._save()
        log("lease", lease=self.label, address=self.address, changed=changed)

    def _put(self, site: Site, lease: L | None) -> bool:
        """Put it on the interface, in the place of the lease that is held; whether that differs.

        Not where the interface has not got the latter: then somebody else uses the address, such as
        a virtual machine behind it.
        """
        old = None if self.lease is None else self._given(self.lease)
        new = None if lease is None else self._given(lease)
        if old == new:
            return False
        if old is not None:
            self._is_configured = applied.has(site, old.address)
        if self._is_configured:
            applied.swap(site, old, new)
        return True
