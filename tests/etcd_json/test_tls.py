"""TLS: the configured authority and no other, both ways; and what is said when it is not right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from etcd_json import Denied, Etcd, Unreachable
from tests.kit.etcd import Authority, EtcdServer, Files, User
from tests.kit.namespace import Namespace


@pytest.fixture(autouse=True)
def _inside(home: Namespace) -> None:
    """Every test is where the servers are."""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "foreign")


def _denied(url: str, match: str, files: Files, user: str = "", password: str = "") -> None:
    with Etcd([url], **files._asdict(), user=user, password=password) as etcd:
        for ask in (lambda: etcd.put("net/a", "x"), lambda: etcd.watch("net/", 1)):
            with pytest.raises(Denied, match=match) as caught:
                ask()
            assert not caught.value.unknown


def test_everything_works_over_tls(secure: EtcdServer, authority: Authority) -> None:
    value = "0123456789" * 140_000
    with Etcd([secure.url], ca=str(authority.ca)) as etcd:
        first = etcd.put("net/a", value)
        assert etcd.list("net/")[0][0].value == value
        with etcd.watch("net/", first) as watch:
            assert [one.value for one in next(watch)] == [value]
            etcd.delete("net/a")
            assert [one.kind for one in next(watch)] == ["delete"]


def test_a_killed_etcd_ends_a_watch_over_tls(
    home: Namespace, tmp_path: Path, authority: Authority
) -> None:
    files = authority.issue("server", "IP:127.0.0.1")
    with (
        EtcdServer(home, tmp_path / "etcd", port=6379, files=files) as server,
        Etcd([server.url], ca=files.ca) as etcd,
        etcd.watch("net/", etcd.put("net/a", "x") + 1) as watch,
    ):
        server.kill()
        with pytest.raises(Unreachable, match="no longer watch"):
            next(watch)


def test_the_connection_is_kept(secure: EtcdServer, authority: Authority) -> None:
    with Etcd([secure.url], ca=str(authority.ca)) as etcd:
        etcd.put("net/a", "x")
        before = secure.connections()
        for _ in range(5):
            etcd.get("net/a")
        assert secure.connections() == before


def test_a_foreign_authority(secure: EtcdServer, foreign: Authority) -> None:
    _denied(secure.url, "certificate verify failed.*must have signed", Files(str(foreign.ca)))


def test_the_environment_has_no_say(
    secure: EtcdServer,
    authority: Authority,
    foreign: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.ca.parent))
    _denied(secure.url, "certificate verify failed", Files(str(foreign.ca)))
    _denied(secure.url, "certificate verify failed|no authorities", Files())
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with Etcd([secure.url], ca=str(authority.ca)) as etcd:
        etcd.put("net/a", "x")


def test_a_certificate_for_another_host(
    home: Namespace, tmp_path: Path, authority: Authority
) -> None:
    files = authority.issue("server", "IP:127.0.0.2,DNS:localhost")
    with EtcdServer(home, tmp_path / "etcd", port=6379, files=files) as server:
        _denied(server.url, "IP address mismatch.*must name the host", Files(files.ca))
        with Etcd([server.url.replace("127.0.0.1", "localhost")], ca=files.ca) as etcd:
            etcd.put("net/a", "x")


def test_a_certificate_that_has_expired(
    home: Namespace, tmp_path: Path, authority: Authority
) -> None:
    """Or a clock that is wrong, which is told from it by nobody but who reads the time."""
    files = authority.expire(authority.issue("server", "IP:127.0.0.1"))
    with EtcdServer(home, tmp_path / "etcd", port=6379, files=files) as server:
        match = r"has expired; it is \d{4}-\d\d-\d\d [\d:]{8} UTC here: set this host's clock"
        _denied(server.url, match, Files(files.ca))


def test_a_server_that_is_no_client_of_its_own(
    home: Namespace, tmp_path: Path, authority: Authority
) -> None:
    files = authority.issue("server", "IP:127.0.0.1", uses="serverAuth")
    both = authority.issue("client")
    with (
        EtcdServer(
            home, tmp_path / "etcd", port=6379, files=files, wants_certificate=True
        ) as server,
        Etcd([server.url], **both._asdict()) as etcd,
        pytest.raises(Unreachable, match="certificate must have clientAuth"),
    ):
        etcd.get("net/a")


def test_a_client_certificate(strict: EtcdServer, authority: Authority) -> None:
    files = authority.issue("client")
    both = Path(files.cert).with_suffix(".both")
    both.write_text(Path(files.cert).read_text() + Path(files.key).read_text())
    for some in (files, Files(files.ca, str(both))):
        with Etcd([strict.url], ca=some.ca, cert=some.cert, key=some.key) as etcd:
            etcd.put("net/a", "x")
            with etcd.watch("net/", 2) as watch:
                assert next(watch)


def test_a_client_certificate_that_is_not_right(
    strict: EtcdServer, authority: Authority, foreign: Authority
) -> None:
    ca = str(authority.ca)
    _denied(strict.url, "refuses us.*--trusted-ca-file", Files(ca))
    _denied(strict.url, "refuses us.*--trusted-ca-file", foreign.issue("client")._replace(ca=ca))


def test_a_client_certificate_with_a_name_is_explained(
    home: Namespace, tmp_path: Path, authority: Authority
) -> None:
    user = User("pycni", "its password", "net/")
    files = authority.issue("server", "IP:127.0.0.1")
    directory = tmp_path / "etcd"
    with EtcdServer(home, directory, port=6379, files=files, wants_certificate=True) as server:
        server.enable_auth(user)
        named = authority.issue("named", subject="/CN=pycni")
        _denied(server.url, r"\(CN\); make one", named, user=user.name, password=user.password)
        files = authority.issue("unnamed")
        _denied(server.url, "wants a user and password, none are configured", files)
        with Etcd([server.url], **files._asdict(), user=user.name, password=user.password) as etcd:
            etcd.put("net/a", "x")


def test_files_that_cannot_be_used(
    secure: EtcdServer, authority: Authority, tmp_path: Path
) -> None:
    ca, absent, rubbish = str(authority.ca), str(tmp_path / "absent"), str(tmp_path / "rubbish")
    Path(rubbish).write_text("no PEM")
    one, other = authority.issue("one"), authority.issue("other")
    locked = str(tmp_path / "locked")
    subprocess.run(
        ["openssl", "pkey", "-in", one.key, "-aes128", "-passout", "pass:secret", "-out", locked],
        check=True,
    )
    for files, match in (
        (Files(absent), f"authority's certificate {absent}: No such file"),
        (Files(rubbish), f"authority's certificate {rubbish}: no "),
        (Files(ca, absent, one.key), f"client certificate {absent} .*No such file"),
        (Files(ca, rubbish, one.key), f"client certificate {rubbish} with the key {one.key}"),
        (Files(ca, one.cert, other.key), "key values mismatch; both must .* belong together"),
        (Files(ca, one.cert, locked), "passphrase"),
        (Files(ca, one.cert), f"with the key {one.cert}"),
    ):
        _denied(secure.url, match, files)


def test_http_to_https_and_the_other_way(
    shared: EtcdServer, secure: EtcdServer, authority: Authority
) -> None:
    to_plain, to_secure = (
        shared.url.replace("http", "https"),
        secure.url.replace("https", "http"),
    )
    with Etcd([to_plain], ca=str(authority.ca)) as etcd:
        with pytest.raises(Unreachable, match="write http://") as caught:
            etcd.put("net/a", "x")
        assert not caught.value.unknown
    with Etcd([to_secure]) as etcd, pytest.raises(Unreachable, match="write https://"):
        etcd.get("net/a")


def test_an_endpoint_to_mistrust_does_not_spoil_the_others(
    home: Namespace, secure: EtcdServer, tmp_path: Path, foreign: Authority, authority: Authority
) -> None:
    files = foreign.issue("server", "IP:127.0.0.1")
    with EtcdServer(home, tmp_path / "etcd", port=6379, files=files) as other:
        with Etcd([other.url, secure.url], ca=str(authority.ca)) as etcd:
            etcd.put("net/mistrust", "x")
        with Etcd([secure.url], ca=str(authority.ca)) as etcd:
            assert etcd.get("net/mistrust")
