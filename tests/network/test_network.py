"""Proxies and certificates, as the environment has them and as they go wrong."""

from __future__ import annotations

import base64
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from groq_magic import (
    APIConnectionError,
    APITimeoutError,
    CertificateError,
    InputError,
    MissingKeyError,
    SetUpError,
    stream,
)
from groq_magic.answer import Answer
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import _NETWORK_SETTINGS, Endpoint, keep_key
from tests.support.asker import Asker, on_the_loop
from tests.support.peer import Connection, answers, delta, peer, refusal
from tests.support.proxy import Proxy
from tests.support.tls import TLSPeer, tls_peer
from tests.support.waiting import free_port

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _NETWORK_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def private(tmp_path: Path) -> tuple[trustme.CA, str]:
    """A private certificate authority, and the file that has it."""
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return authority, str(path)


class Presenting(TLSPeer):
    """A peer with this very certificate."""

    def __init__(self, certificate: trustme.LeafCert, authority: trustme.CA) -> None:
        super().__init__(answers("ok"), authority=authority)
        certificate.configure_cert(self._context)


@pytest.mark.parametrize(
    ("name", "days", "said"),
    [
        ("127.0.0.1", (-9, -1), r"has expired\. Check this machine's clock"),
        ("127.0.0.1", (1, 9), r"is not valid yet\. Check this machine's clock"),
        ("other.test", (-1, 9), r"is for another name\. Check GROQ_BASE_URL"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(
    name: str,
    days: tuple[int, int],
    said: str,
    private: tuple[trustme.CA, str],
    monkeypatch: pytest.MonkeyPatch,
    ask: Asker,
) -> None:
    authority, path = private
    monkeypatch.setenv("SSL_CERT_FILE", path)
    begins, ends = (datetime.now(UTC) + DAY * number for number in days)
    server = Presenting(authority.issue_cert(name, not_before=begins, not_after=ends), authority)
    answer = ask(server.base_url, max_retries=2)
    with pytest.raises(CertificateError, match=said) as caught:
        answer.result(30)
    assert "SSL_CERT_FILE" not in str(caught.value)
    server.close()


def test_what_an_error_says_to_set_works(
    private: tuple[trustme.CA, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, path = private
    with tls_peer(answers("ok"), authority=authority) as server:
        with pytest.raises(CertificateError, match="Set SSL_CERT_FILE"):
            stream("Hello", base_url=server.base_url).result(30)
        monkeypatch.setenv("SSL_CERT_FILE", path)
        assert stream("Hello", base_url=server.base_url).result(30) == "ok"


def test_tls_that_breaks_is_a_broken_connection(
    private: tuple[trustme.CA, str], monkeypatch: pytest.MonkeyPatch, ask: Asker
) -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("one"))
        with socket.socket(fileno=os.dup(connection.socket.fileno())) as below:
            below.sendall(b"this is no record of TLS" * 9)
        connection.until_closed()

    authority, path = private
    monkeypatch.setenv("SSL_CERT_FILE", path)
    with tls_peer(play, authority=authority) as server:
        answer = ask(server.base_url)
        assert answer.wait(30)
    assert (type(answer.error), answer.text) == (APIConnectionError, "one")
    assert "broke" in str(answer.error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "ftp://us:secret@p:1"),
        ("HTTPS_PROXY", "http://us:secret/@p:1"),
        ("HTTPS_PROXY", "http://us:secret@host:port"),
        ("NO_PROXY", "localhost,[::1]"),
    ],
)
def test_proxies_that_cannot_be_read(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, ask: Asker
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    answer = ask("https://api.invalid/v1", max_retries=2)
    assert answer.wait(30)
    assert isinstance(answer.error, SetUpError)
    assert name in str(answer.error)
    assert "secret" not in whole_traceback(answer.error)


def test_a_proxy_with_a_password(
    private: tuple[trustme.CA, str], monkeypatch: pytest.MonkeyPatch, ask: Asker
) -> None:
    authority, path = private
    monkeypatch.setenv("SSL_CERT_FILE", path)
    with tls_peer(answers("ok"), authority=authority) as server:
        proxy = Proxy(server.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://us:secret@"))
        assert ask(f"https://groq.test:{server.port}/v1").result(30) == "ok"
        assert "authorization" not in server.connection().request.headers
        proxy.close()
    (asked,) = proxy.asked
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'us:secret').decode()}" in asked


@pytest.mark.parametrize(
    ("status", "said", "times", "error"),
    [
        ("407 us:secret", "HTTPS_PROXY as http://user:password@host:port", 1, SetUpError),
        ("403 us:secret", r"made no connection to api.invalid \(HTTP 403\)", 2, APIConnectionError),
    ],
)
def test_a_proxy_that_refuses(
    status: str,
    said: str,
    times: int,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    ask: Asker,
) -> None:
    with peer(refusal(status)) as proxy:
        url = proxy.base_url.replace("://", "://us:secret@").removesuffix("/openai/v1")
        monkeypatch.setenv("HTTPS_PROXY", url)
        answer = ask("https://api.invalid/v1", max_retries=1)
        with pytest.raises(error, match=said) as caught:
            answer.result(30)
        assert [each.request.line for each in proxy.connections] == [
            "CONNECT api.invalid:443 HTTP/1.1"
        ] * times
    assert type(caught.value) is error
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_a_stop_while_a_proxy_is_silent_closes_the_connection(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme == "socks5":
        pytest.importorskip("socksio")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        answer = Answer(
            Client(max_retries=0).stream(Endpoint("https://api.invalid/v1"), {})
        ).start()
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            assert accepted.recv(4096)  # it has begun to speak
            answer.stop()
            while accepted.recv(4096):
                pass
    assert answer.state == "stopped"


def test_a_proxy_that_is_dead(monkeypatch: pytest.MonkeyPatch, ask: Asker) -> None:
    with free_port() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://us:secret@127.0.0.1:{port}")
        answer = ask("https://api.invalid/v1")
        with pytest.raises(APIConnectionError, match=r"Could not reach .*HTTPS_PROXY") as caught:
            answer.result(30)
    assert "secret" not in str(caught.value)


def test_a_forwarding_proxy_that_wants_a_password(
    monkeypatch: pytest.MonkeyPatch, ask: Asker
) -> None:
    with peer(refusal("407 Who", b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/openai/v1"))
        answer = ask("http://api.invalid/v1", max_retries=2)
        assert answer.wait(30)
        assert len(proxy.connections) == 1
    assert str(answer.error) == "407 Who. Set HTTPS_PROXY as http://user:password@host:port."


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost.test"])
def test_this_machine_has_three_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those past which no proxy goes: any other would send the key through one, unencrypted."""
    with pytest.raises(MissingKeyError):
        Endpoint.from_environment(f"https://{host}/v1")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_0123456789abcdef")
    with pytest.raises(InputError, match="unencrypted"):
        Endpoint.from_environment(f"http://{host}/v1")


@pytest.fixture
def never_reads() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_the_key_is_in_no_frame_behind_an_error(
    never_reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of httpcore that forwards through a proxy has all headers in a variable."""
    monkeypatch.setenv("HTTP_PROXY", never_reads)
    key = "gsk_0123456789abcdef"
    endpoint = Endpoint("http://api.invalid/v1", key)
    impatient = Client(timeout=0.2, max_retries=0)
    answer = Answer(impatient.stream(endpoint, {})).start()
    assert answer.wait(30)
    with pytest.raises(APITimeoutError) as caught:
        on_the_loop(impatient.models(endpoint, within=30))
    for error in (answer.error, caught.value.with_traceback(caught.tb.tb_next)):
        assert error
        assert isinstance(error.__cause__, httpx.TimeoutException)
        assert key not in whole_traceback(error)


@pytest.mark.parametrize("use", [lambda: keep_key("typo" * 4 + "\nü"), Endpoint.from_environment])
def test_a_mistyped_key_is_in_no_frame(
    use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "typo" * 4 + "\nü")
    with pytest.raises(InputError) as caught:
        use()
    ours = caught.value.with_traceback(caught.tb.tb_next)  # pytest's own frame has the word
    assert "typotypo" not in whole_traceback(ours)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2hunter2@example.org/v1",
        "https://user:hunter2hunter2@host:port",
        "https://user:hunter2hunter2/@example.org",
        "ftp://user:hunter2hunter2@example.org",
    ],
)
def test_the_password_of_a_refused_url_is_in_no_frame(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_BASE_URL", url)
    with pytest.raises(InputError, match="GROQ_BASE_URL") as caught:
        Endpoint.from_environment()
    ours = caught.value.with_traceback(caught.tb.tb_next)
    assert "hunter2" not in str(ours) + whole_traceback(ours)


def whole_traceback(error: BaseException) -> str:
    """With local variables, and with the errors that are said not to matter."""
    said = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    behind = (error.__cause__, error.__context__)
    return said + "".join(whole_traceback(each) for each in behind if each)
