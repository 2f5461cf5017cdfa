"""TLS: the context from the files of a configuration, and a stream that speaks it.

Only ever imported for an https endpoint: `ssl` costs 5 ms and the memory of OpenSSL.
"""

from __future__ import annotations

import errno
import ssl
import time

from etcd_json.errors import Denied
from etcd_json.stream import NotAccepted, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.endpoint import Endpoint

_OUT_OF_TIME = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED, <openssl/x509_vfy.h>


def context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """A client's context that trusts the authorities in the file `ca` and no others.

    Without `ca` it trusts those of the system, in OpenSSL's own places: the environment
    (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) has no say in either. cert, key: the client's own, in PEM;
    the key may be in the certificate's file. Raises Denied, naming the file.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    _load_authorities(made, ca)
    if cert:
        try:
            made.load_cert_chain(cert, key or None, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise Denied(
                f"cannot use the client certificate {cert} with the key {key or cert}: "
                f"{reason(error)}; both must be PEM, belong together and have no passphrase"
            ) from error
    return made


def _load_authorities(made: ssl.SSLContext, ca: str) -> None:
    if ca:
        try:
            made.load_verify_locations(cafile=ca)
        except OSError as error:
            raise Denied(
                f"cannot use the authority's certificate {ca}: {reason(error)}; "
                "it must be a readable PEM file"
            ) from error
        return
    places = ssl.get_default_verify_paths()
    try:
        made.load_verify_locations(places.openssl_cafile, places.openssl_capath)
    except OSError as error:
        raise Denied(
            f"the system has no authorities ({reason(error)}): name the file of the one that "
            "signed etcd's certificate"
        ) from error


def _no_passphrase() -> str:
    """Instead of a question on the terminal, which OpenSSL would ask."""
    raise ValueError("the key has a passphrase")


def reason(error: Exception) -> str:
    """OpenSSL's words without its line numbers, or the system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


class TlsStream(Stream):
    """A stream that is encrypted; its endpoint's certificate is checked against its host.

    Raises NotAccepted where one side does not accept the other.
    """

    def __init__(
        self, endpoint: Endpoint, deadline: float, tls: ssl.SSLContext, cancel: int = -1
    ) -> None:
        super().__init__(endpoint, deadline, cancel)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = tls.wrap_bio(
            self._incoming, self._outgoing, server_hostname=endpoint.host.partition("%")[0]
        )
        try:
            self._shake_hands(deadline)
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, deadline: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
                self._flush(deadline)
                return
            except ssl.SSLWantReadError:
                self._continue(deadline)
            except ssl.SSLError as error:
                raise _judged(error) from error

    def _continue(self, deadline: float) -> None:
        """Say what OpenSSL has to say, and hear."""
        try:
            self._flush(deadline)
            self._fill(deadline)
        except ConnectionError as error:
            raise _cut() from error

    def _flush(self, deadline: float) -> None:
        super().send(self._outgoing.read(), deadline)

    def _fill(self, deadline: float) -> None:
        data = super().receive(deadline)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def send(self, data: bytes, deadline: float) -> None:
        """Encrypt all of it and hand it to the kernel."""
        self._tls.write(data)  # to memory: it takes everything
        try:
            self._flush(deadline)
        except ConnectionError:
            # A server that refuses our certificate says so after its side of the handshake, and
            # closes: its word tells more than the broken pipe.
            self.receive(deadline)
            raise

    def receive(self, deadline: float) -> bytes:
        """What has come, decrypted; empty once the peer has closed."""
        while True:
            try:
                return self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._flush(deadline)  # answers to what OpenSSL handles by itself
                self._fill(deadline)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise _judged(error) from error


def _judged(error: ssl.SSLError) -> OSError:
    """NotAccepted where trying again cannot help, with the remedy."""
    why = reason(error)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _cut()
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OUT_OF_TIME:
            now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            return NotAccepted(
                f"{why}; it is {now} UTC here: set this host's clock, or renew the certificate"
            )
        return NotAccepted(
            f"{why}; the authority that is configured must have signed etcd's certificate, and "
            "the certificate must name the host as the endpoint does"
        )
    if "alert" in why:
        return NotAccepted(
            f"it refuses us: {why}; etcd's --trusted-ca-file must have signed our client "
            "certificate, if it wants one"
        )
    if why in ("wrong version number", "http request", "record layer failure"):
        return NotAccepted(f"it does not speak TLS ({why}): write http:// in place of https://")
    return OSError(errno.EPROTO, why)


def _cut() -> OSError:
    """For a peer that closes: etcd itself, where it does not speak TLS, or one that dies."""
    why = "it closed during the TLS handshake (if it speaks no TLS, write http://)"
    return ConnectionResetError(errno.ECONNRESET, why)
