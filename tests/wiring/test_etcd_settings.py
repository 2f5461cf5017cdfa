"""The keys that say which etcd to use: what is accepted, what is named, and no secret told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, TRY_AGAIN_LATER, CniError
from cni.jsonvalue import JsonObject
from wiring import etcd_settings
from wiring.etcd_settings import Settings

URL = "https://192.0.2.1:2379"
SECRET = "sesame"


def read(**keys: Any) -> Settings:
    return etcd_settings.read(JsonObject({"endpoints": [URL], "node": "n1", **keys}, "ipam"), "net")


def refused(**keys: Any) -> str:
    with pytest.raises(CniError) as caught:
        read(**keys)
    assert caught.value.code == INVALID_CONFIG
    assert SECRET not in str(caught.value)
    return caught.value.msg


def test_what_is_said_and_what_is_filled_in() -> None:
    whole = read(
        endpoints=[URL, "https://[2001:db8::1]:2379", URL],
        prefix="/a/b/",
        ca="/ca.pem",
        cert="/cert.pem",
        key="/key.pem",
        user="root",
        password=SECRET,
    )
    assert whole.endpoints == (URL, "https://[2001:db8::1]:2379")
    assert (whole.prefix, whole.node) == ("/a/b", "n1")
    assert (whole.ca, whole.cert, whole.key) == ("/ca.pem", "/cert.pem", "/key.pem")
    assert (whole.user, whole.password) == ("root", SECRET)
    assert SECRET not in repr(whole)
    assert read().prefix == "/pycni/net"
    assert read(user="u", passwordFile="/etc/secret").password_file == "/etc/secret"
    assert read(endpoints=["http://etcd.example:1"]).endpoints == ("http://etcd.example:1",)


def test_the_node_is_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    system = list(os.uname())

    def named(name: str) -> None:
        monkeypatch.setattr(os, "uname", lambda: os.uname_result([system[0], name, *system[2:]]))

    named("host7.example")
    assert read(node="").node == "host7.example"
    for name in ("localhost", "(none)", "", "a/b"):
        named(name)
        text = refused(node=None)
        assert 'key "ipam.node": it is missing' in text
        assert repr(name)[1:-1] in text
    assert read(node="localhost").node == "localhost", "whoever writes it means it"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoints", None),
        ("endpoints", []),
        ("endpoints", URL),
        ("endpoints[0]", ["ftp://192.0.2.1:2379"]),
        ("endpoints[0]", ["192.0.2.1:2379"]),
        ("endpoints[0]", ["https://192.0.2.1:0"]),
        ("endpoints[0]", ["https://192.0.2.1:2379/v3"]),
        ("endpoints[0]", ["https://user@192.0.2.1:2379"]),
        ("endpoints[1]", [URL, "https://2001:db8::1:2379"]),
        ("endpoints[1]", [URL, ""]),
        ("endpoints[0]", ["https://a b:2379"]),
        ("prefix", "pycni/net"),
        ("prefix", "/"),
        ("prefix", "/a//b"),
        ("prefix", "/a\nb"),
        ("prefix", 5),
        ("node", "a/b"),
        ("node", "-x"),
        ("node", 5),
        ("ca", "ca.pem"),
        ("passwordFile", "secret"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any) -> None:
    text = refused(**{key.partition("[")[0]: value})
    assert f'key "ipam.{key}"' in text
    assert "expected" in text


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"key": "/key.pem"}, "cert"),
        ({"user": "u"}, "passwordFile"),
        ({"password": SECRET}, "user"),
        ({"passwordFile": "/secret"}, "user"),
        ({"user": "u", "password": SECRET, "passwordFile": "/secret"}, "password"),
        ({"user": "u", "password": [SECRET]}, "password"),
        ({"user": "u", "password": f"{SECRET}\0"}, "password"),
        ({"endpoints": [URL, "http://192.0.2.2:2379"], "ca": "/ca.pem"}, "ca"),
        ({"endpoints": ["http://192.0.2.2:2379"], "cert": "/cert.pem"}, "cert"),
    ],
)
def test_half_a_pair_and_two_of_a_kind(keys: dict[str, Any], key: str) -> None:
    assert f'key "ipam.{key}"' in refused(**keys)


# ---- the password's file -------------------------------------------------------------------------


def connected(path: Path) -> None:
    read(user="u", passwordFile=str(path)).connect().close()


def refusal(path: Path) -> str:
    with pytest.raises(CniError) as caught:
        connected(path)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "ipam.passwordFile": {path}' in caught.value.msg
    assert SECRET not in str(caught.value)
    return caught.value.msg


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640])
def test_a_file_that_only_root_and_its_group_can_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(mode)
    connected(path)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o601])
def test_a_file_that_others_can_use(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(mode)
    text = refusal(path)
    assert f"{mode:04o}" in text
    assert f"chmod 600 {path}" in text


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 5000, SECRET.encode() + b"\0"]
)
def test_a_file_that_holds_no_password(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(0o600)
    assert f"holds {min(len(content), 4097)} bytes that are no password" in refusal(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "gone")
    assert "Is a directory" in refusal(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "is no plain file" in refusal(tmp_path / "fifo")


# ---- errors --------------------------------------------------------------------------------------


def test_what_the_clients_errors_become() -> None:
    from etcd_json import Denied, Unreachable

    with pytest.raises(CniError) as caught, read().session():
        raise Unreachable("nobody answers")
    assert caught.value.code == TRY_AGAIN_LATER
    assert caught.value.msg == 'key "ipam.endpoints": nobody answers'
    with pytest.raises(CniError) as caught, read(user="u", password=SECRET, ca="/ca").session():
        raise Denied("the password is wrong")
    assert caught.value.code == INVALID_CONFIG
    assert caught.value.msg == (
        'keys "ipam.user", "ipam.ca", "ipam.password": the password is wrong'
    )
    with pytest.raises(ValueError, match="other"), read().session():
        raise ValueError("another kind")
