"""Everything else that happens on a busy host: links that come and go, addresses, others' rules.

None of it is about the containers; it changes the tables that plugins list, so that the kernel
cuts listings short (NLM_F_DUMP_INTR), and the ruleset for which they make their transactions.
"""

from __future__ import annotations

import random
import subprocess
import threading
from types import TracebackType

import nftables

from tests.kit.host import Host

_LINKS = 24
_STEPS_A_BEAT = 3
_SECONDS = 120
"""A bound for what has been told and is not done yet."""


class Churn:
    """`with Churn(host, seed) as churn:` steps as long as somebody calls `beat`, once an operation.

    So it goes no faster than the calls it is to disturb, whatever the machine. The body runs in the
    host's namespace; nothing is left at the end.
    """

    def __init__(self, host: Host, seed: int) -> None:
        self.steps = 0
        self._random = random.Random(seed)
        self._beats = threading.Semaphore(0)
        self._over = False
        self._there: set[int] = set()
        self._host = host
        self._thread = threading.Thread(target=self._run)

    def beat(self) -> None:
        self._beats.release()

    def __enter__(self) -> Churn:
        self._ip = subprocess.Popen(
            ["ip", "-force", "-batch", "-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            pipesize=4096,  # what is told is done soon: the kernel is slow where many change links
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._beats.release()
        self._thread.join()
        for number in tuple(self._there):
            self._say(f"link delete churn{number}")
        assert self._ip.stdin
        self._ip.stdin.close()
        self._ip.wait(_SECONDS)

    def _run(self) -> None:
        nft = nftables.Nftables()
        while True:
            self._beats.acquire()
            if self._over:
                break
            for _ in range(_STEPS_A_BEAT):
                self._step(nft)
                self.steps += 1
        nft.cmd("delete table inet churn")

    def _step(self, nft: nftables.Nftables) -> None:
        number = self._random.randrange(_LINKS)
        address = f"198.51.100.{number + 1}/32"
        if number not in self._there:
            self._there.add(number)
            self._say(f"link add churn{number} type veth peer name churn{number}p")
            self._say(f"link set churn{number} up")
            return
        match self._random.choice(("links", "addresses", "routes", "rules", "rules")):
            case "links":
                self._there.remove(number)
                self._say(f"link delete churn{number}")
            case "addresses":
                self._say(f"address add {address} dev churn{number}")
                self._say(f"address delete {address} dev churn{number}")
            case "routes":
                self._say(f"route replace 203.0.113.{number}/32 dev churn{number}")
            case _:
                nft.cmd(
                    f"add table inet churn; add set inet churn s{number} {{ type ipv4_addr; }}; "
                    f"flush set inet churn s{number}; "
                    f"add element inet churn s{number} {{ {address[:-3]} }}"
                )

    def _say(self, command: str) -> None:
        assert self._ip.stdin
        self._ip.stdin.write(command + "\n")
        self._ip.stdin.flush()
