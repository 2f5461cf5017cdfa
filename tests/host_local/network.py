"""A network as the tests see it: a config, the verbs, and the files in its directory."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from cni.call import Attachment
from cni_host_local import index
from cni_host_local.index import open_index
from cni_host_local.store import name_of, open_store, split_holder
from tests.kit.calls import Document, Runtime
from tests.kit.ipam_network import IpamNetwork
from tests.kit.namespace import Namespace

REFERENCE = Path("/usr/lib/cni/host-local")
V4: Document = {"subnet": "10.1.2.0/24"}
V6: Document = {"subnet": "2001:db8:1::/64"}


class Network(IpamNetwork):
    """A network with its directory below `tmp_path`."""

    def __init__(self, tmp_path: Path, netns: Namespace, name: str = "net") -> None:
        ipam: Document = {
            "type": "host-local",
            "dataDir": str(tmp_path / "data"),
            "ranges": [[V4]],
        }
        super().__init__(Runtime(tmp_path), netns, name, ipam)
        self.tmp_path = tmp_path
        self.name = name
        self.directory = tmp_path / "data" / name

    # ---- files ---------------------------------------------------------------------------------

    def write(self, name: str, content: str | bytes) -> None:
        """Make a file as a script would: behind the plugin's back, without the lock."""
        self.directory.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (self.directory / name).write_bytes(data)

    def fill(self, names: Iterable[str], container: str = "other") -> None:
        for name in names:
            self.write(name, f"{container}\r\neth0")

    @property
    def held(self) -> dict[str, str]:
        """What each address' file says."""
        if not self.directory.exists():
            return {}
        return {
            path.name: path.read_bytes().decode(errors="replace")
            for path in sorted(self.directory.iterdir())
            if path.name != "lock" and not path.name.startswith("last_reserved_ip.")
        }

    def last(self, number: int = 0) -> str:
        return (self.directory / f"last_reserved_ip.{number}").read_text()

    # ---- the index -----------------------------------------------------------------------------

    def check_index(self, must_be_current: bool = False) -> None:
        """Where there is a current index, it says what the files say."""
        store = open_store(str(self.directory))
        if store is None:
            return
        with store:
            with store.lock:
                found = open_index(store.path, store.fd)
            if found is None:
                assert not must_be_current or not list(store.addresses()), "no current index"
                return
            numbers = [number for _, number in store.addresses()]
            assert found.held == len(numbers)
            for number in numbers:
                assert found.next_free(number, number) is None, name_of(number)
                if (self.directory / name_of(number)).is_dir():
                    continue
                holder = split_holder(store.read(name_of(number)) or b"")
                assert holder is not None
                assert number in found.candidates(holder[0])

    def has_index(self) -> bool:
        return any(Path(index.ROOT).glob(f"{self.name}.*"))


def remove_indexes(*names: str) -> None:
    """Remove what networks of these names have left in /run, tests having removed them roughly."""
    for name in names:
        for path in Path(index.ROOT).glob(f"{name}.*"):
            shutil.rmtree(path)
    with contextlib.suppress(OSError):
        Path(index.ROOT).rmdir()


def owner(container: str = "c1", ifname: str = "eth0") -> Attachment:
    return Attachment(container, ifname)


def reference(verb: str, network: Network, container: str = "c1", ifname: str = "eth0") -> Document:
    """Run the reference's own plugin; its answer, which is an error where it has a `code`."""
    done = subprocess.run(
        [REFERENCE],
        input=json.dumps({**network.config, "cniVersion": "1.0.0"}),
        env={
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": ifname,
            "CNI_NETNS": str(network.netns),
            "CNI_PATH": "/usr/lib/cni",
        },
        text=True,
        capture_output=True,
        check=False,
    )
    answer = json.loads(done.stdout) if done.stdout else {}
    assert isinstance(answer, dict)
    return answer
