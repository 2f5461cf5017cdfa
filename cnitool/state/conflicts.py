"""Where the cache, the IPAM files and the kernel contradict each other about an attachment."""

from __future__ import annotations

from cnitool.state.model import PENDING, PUBLISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.result import Result
    from cnitool.state.kernel import Links
    from cnitool.state.model import Attachment

_REMEDY = "cnitool gc, or the runtime's, removes what is left"


def conflicts(one: Attachment, links: Links) -> Iterator[str]:
    """Each as a sentence, with what mends it."""
    if one.cached is None:
        yield from _unknown(one)
        return
    if one.is_alive is False:
        yield f"its namespace {one.netns} is gone: the container ended without a DEL; {_REMEDY}"
        return
    if one.cached.result is None:
        yield f"{one.cached.path} has no result of ADD that can be read; CHECK cannot work"
        return
    yield from _links(one.cached.result, links)
    yield from _reservations(one, one.cached.config)
    yield from _mappings(one)


def _unknown(one: Attachment) -> Iterator[str]:
    held = [f"address {each.address} ({each.path})" for each in one.reservations]
    held += [f"host port {each}" for each in one.mappings]
    held += [f"the masquerade of {each.ip}" for each in one.masqueraded]
    if one.host_end is not None:
        held.append(f"host interface {one.host_end.name}")
    yield (
        f"the cache does not know it, but it holds {', '.join(held) or 'rules of the firewall'}; "
        f"if no runtime with another cache directory has it, {_REMEDY}"
    )


def _links(result: Result, links: Links) -> Iterator[str]:
    for told in result.interfaces:
        if told.sandbox or not told.name:
            continue
        found = links.by_name.get(told.name)
        if found is None:
            yield f"the result names the host interface {told.name}, which does not exist"
        elif not found.up:
            yield f"host interface {told.name} is down: ip link set {told.name} up"


def _reservations(one: Attachment, config: bytes) -> Iterator[str]:
    """Only for who has any, or should: other IPAM plugins keep no files of this kind."""
    told = set(one.ips)
    reserved = {each.address for each in one.reservations}
    if reserved or b'"host-local"' in config:
        for address in sorted(reserved - told, key=int):
            yield f"address {address} is reserved for it, but ADD did not answer it"
        for address in sorted(told - reserved, key=int):
            yield f"address {address} is not reserved for it: another container may get it"


def _mappings(one: Attachment) -> Iterator[str]:
    told = one.ips
    for each in one.mappings:
        if each.state == PENDING:
            yield f"host port {each} was never published: its ADD was ended"
        elif each.state == PUBLISHED and each.container not in told:
            yield f"host port {each} leads to an address that is not its own"
