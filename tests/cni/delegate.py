"""An IPAM plugin for tests, called as a function or run as a process: it notes what it sees.

The key `ipam.fail` maps verbs to what they raise: a code, or a word for an error of another kind.
"""

from __future__ import annotations

import json
import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from cni.bundle import Bundle
from cni.call import Call
from cni.errors import CniError
from cni.ip import parse_interface
from cni.result import DNS, IPConfig, Result, Route
from cni.skel import Plugin, main

RESULT = Result(
    ips=(IPConfig(parse_interface("10.1.0.2/16")), IPConfig(parse_interface("2001:db8::2/64"))),
    routes=(Route(parse_interface("0.0.0.0/0").network),),
    dns=DNS(("10.1.0.1",)),
)


def verb(call: Call) -> None:
    ipam = call.config.object("ipam")
    seen = {
        "command": call.command,
        "owner": call.owner,
        "netns": call.netns,
        "args": dict(call.args),
        "path": list(call.path),
        "stdin": call.stdin.decode(),
        "environ": {key: call.environ[key] for key in sorted(call.environ) if "CNI" in key},
        "previous": call.prev_result is not None,
        "valid": sorted(one.container_id for one in call.valid_attachments),
    }
    with open(ipam.string("log"), "a") as log:
        log.write(json.dumps(seen) + "\n")
    match ipam.object("fail").get(call.command):
        case None:
            pass
        case int(code):
            raise CniError(code, "as told", "and why")
        case "kernel":
            raise OSError("the disk is full")
        case _:
            raise KeyError("a defect")


def add(call: Call) -> Result:
    verb(call)
    return RESULT


PLUGIN = Plugin("delegate", "CNI delegate plugin", add, verb, verb, verb, verb, strict_args=True)

if __name__ == "__main__":
    os.environ.pop("LC_CTYPE", None)  # which Python sets where no locale is
    sys.exit(main("delegate", Bundle({"delegate": lambda: PLUGIN}, sys.argv[0])))
