"""DEL: free the attachment's addresses; done already is done.

They are found by node, container and interface, never by what the runtime says they were.
"""

from __future__ import annotations

from cni_etcd_ipam.config import read_settings
from cni_etcd_ipam.etcd_layout import layout_of, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def delete(call: Call) -> None:
    """Free what the attachment holds.

    Raises CniError: TRY_AGAIN_LATER unless etcd has said that nothing is held any more. Where the
    answer to the removal is lost, that is the case too: the repeated DEL finds what is left.
    """
    settings = read_settings(call)
    layout = layout_of(settings, call.network)
    with settings.session() as etcd:
        entry = etcd.get(layout.owner_key(call.attachment))
        if entry is not None:
            release(etcd, layout, entry)
