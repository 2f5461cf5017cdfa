"""All attachments of the daemon, by their owners; what the verbs do to them."""

from __future__ import annotations

import asyncio
import os
from weakref import WeakValueDictionary

from cni import wire
from cni.errors import (
    CHECK_FAILED,
    INVALID_CONFIG,
    IO_FAILURE,
    NOT_AVAILABLE,
    SYSTEM,
    CniError,
)
from cni.journal import log
from cni.jsonvalue import parse_object
from cni.record import replace
from cni.versions import CURRENT
from cni_dhcp import files
from cni_dhcp.config import read_terms
from cni_dhcp.daemon import outcome, router
from cni_dhcp.daemon.attachment import Attachment, read_attachment
from cni_dhcp.daemon.lease import EXPIRED, now
from cni_dhcp.daemon.outcome import Seen6
from cni_dhcp.daemon.place import GoneError, Site, read_place
from hostnet.directory import make as make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonObject, JsonValue
    from cni.result import Result
    from cni_dhcp.daemon.holding import Settings
    from cni_dhcp.daemon.place import Place

    Answer = dict[str, JsonValue]

_MAC_LENGTH = len("0a:58:0a:01:00:02")


class Registry:
    """Of one daemon."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attachments: dict[str, Attachment] = {}
        # Alive for as long as somebody has or wants one.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def resume(self) -> None:
        """Go on keeping what the files say. Raises OSError where they cannot be read."""
        directory = self._settings.directory
        files.tidy(directory)
        for name, content in files.contents(directory):
            try:
                document = parse_object(content, name)
                found = read_attachment(document, self._settings, self._on_gone)
            except (CniError, ValueError, TypeError) as error:
                log("removed a torn file", file=f"{directory}/{name}", error=str(error))
                files.remove(directory, name)
                continue
            self._attachments[found.place.owner] = found
            found.keep()
        log("resumed", leases=len(self._attachments))

    def _on_gone(self, gone: Attachment, why: str) -> None:
        """The container went without a DEL: its server has the address back when the lease ends."""
        owner = gone.place.owner
        if self._attachments.get(owner) is gone:
            del self._attachments[owner]
            gone.abandon()
            gone.forget()
            log("gone", lease=owner, why=why)

    async def answer(self, question: JsonObject) -> Answer:
        """What to answer a plugin. Raises CniError."""
        verb = question.choice("verb", ("ADD", "DEL", "CHECK", "GC", "STATUS"), "")
        try:
            if verb == "ADD":
                return await self._add(read_place(question), question)
            if verb == "DEL":
                await self._delete(read_place(question).owner)
            elif verb == "GC":
                await self._collect(question)
            elif verb == "CHECK":
                return self._check(read_place(question))
            else:
                self._require_directory()
        except (OSError, GoneError) as error:
            raise CniError(SYSTEM, str(error)) from error
        return {}

    async def _add(self, place: Place, question: JsonObject) -> Answer:
        terms = read_terms(question.object("terms"))
        async with self._lock(place.owner):
            self._require_directory()
            with self._site(place) as site:
                found = self._attachments.pop(place.owner, None)
                if found is not None:
                    if _is_the_same(found, site.place) and found.terms == terms:
                        self._attachments[place.owner] = found
                        return {"result": wire.encode(_again(found, site), CURRENT)}
                    # Of a container that had the same names. Its server knows us by them, and
                    # would take the address back that it is about to give again.
                    await found.stop()
                made = Attachment(site.place, terms, self._settings, self._on_gone)
                result = await self._obtain(made, site)
            self._attachments[place.owner] = made
            made.keep()
        log("obtained", lease=place.owner, addresses=[str(one.address) for one in result.ips])
        return {"result": wire.encode(result, CURRENT)}

    async def _obtain(self, made: Attachment, site: Site) -> Result:
        """All of it and written down, or nothing."""
        try:
            result = await made.obtain(site)
            try:
                made.save()
            except OSError as error:
                raise _unusable(self._settings.directory, error) from error
        except BaseException:
            await asyncio.shield(made.release())
            raise
        return result

    def _site(self, place: Place) -> Site:
        """The place open, with its interface's index. Raises CniError that says how to mend it."""
        try:
            site = Site(place, self._settings.prefix)
        except GoneError as gone:
            raise CniError(
                INVALID_CONFIG,
                f"the dhcp daemon does not see the container's namespace: {gone}; it must run "
                "where that path leads to the same namespace, or be told by -hostprefix where the "
                "host's root is",
            ) from gone
        try:
            found = site.link()
            if len(found.mac) != _MAC_LENGTH:
                raise CniError(
                    INVALID_CONFIG,
                    f"interface {found.name} has no Ethernet address, by which DHCP servers and "
                    "routers know a client: choose a kind of interface that has one, or another "
                    "IPAM plugin",
                )
            site.place = replace(place, index=found.index)
        except GoneError as gone:
            site.close()
            raise CniError(
                INVALID_CONFIG,
                f"{gone}: dhcp works through the container's interface, so it has to be in the "
                '"ipam" of a plugin that makes one',
            ) from gone
        except BaseException:
            site.close()
            raise
        return site

    async def _delete(self, owner: str) -> None:
        async with self._lock(owner):
            found = self._attachments.pop(owner, None)
            if found is not None:
                await found.release()
                log("released", lease=owner)
            else:
                files.remove(self._settings.directory, files.name_of(owner))

    async def _collect(self, question: JsonObject) -> None:
        """Release this network's attachments that are not valid."""
        network = question.required_string("network")
        valid = {
            (one.required_string("containerID"), one.required_string("ifname"))
            for one in question.objects("valid")
        }
        stale = [
            owner
            for owner, one in self._attachments.items()
            if one.place.network == network
            and (one.place.container_id, one.place.ifname) not in valid
        ]
        await asyncio.gather(*(self._delete(owner) for owner in stale))

    def _check(self, place: Place) -> Answer:
        found = self._attachments.get(place.owner)
        if found is None:
            raise CniError(
                CHECK_FAILED,
                f"the dhcp daemon keeps no lease for container {place.container_id} "
                f"({place.ifname}) on network {place.network}",
            )
        problems: list[JsonValue] = list(found.problems(place))
        directory, name = self._settings.directory, files.name_of(place.owner)
        if files.read(directory, name) is None:
            problems.append(
                f"the lease file {os.path.join(directory, name)} is missing: a daemon that starts "
                "anew would not know of the lease"
            )
        addresses: list[JsonValue] = list(found.addresses)
        return {"problems": problems, "addresses": addresses}

    def _require_directory(self) -> None:
        """Raise CniError(NOT_AVAILABLE) unless leases can be written down."""
        directory = self._settings.directory
        try:
            make_directory(directory, 0o700)
            room = os.statvfs(directory)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(0, "it is not writable")
        except OSError as error:
            raise CniError(NOT_AVAILABLE, _unusable(directory, error).msg) from error
        if room.f_bfree == 0:
            raise CniError(
                NOT_AVAILABLE, f"lease directory {directory}: its file system is full, make room"
            )

    def _lock(self, owner: str) -> asyncio.Lock:
        """One verb at a time for an attachment."""
        return self._locks.setdefault(owner, asyncio.Lock())

    def renew(self) -> None:
        """Renew every lease now."""
        for one in self._attachments.values():
            one.renew()

    async def stop(self) -> None:
        """Stop keeping; everything is written down."""
        await asyncio.gather(*(one.stop() for one in self._attachments.values()))


def _is_the_same(found: Attachment, place: Place) -> bool:
    """Whether the attachment is at this very place, and holds what it asked for."""
    lease = found.four.lease
    if found.place != place or (found.terms.ipv4 and lease is None):
        return False
    return lease is None or lease.times.phase(now()) != EXPIRED


def _again(found: Attachment, site: Site) -> Result:
    """The result of an ADD that has been done, as the reference gives it."""
    seen = Seen6() if found.terms.ipv6 == "none" else router.seen(site)
    if found.terms.ipv6 == "dhcp":
        seen = replace(seen, addresses=())
    return outcome.result(found.terms, found.four.lease, found.six.lease, seen)


def _unusable(directory: str, error: OSError) -> CniError:
    return CniError(
        IO_FAILURE,
        f"lease directory {directory}: {error.strerror or error}, expected one with room that can "
        "be written: mend it, or start the daemon with another -socketpath",
    )
