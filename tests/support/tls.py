"""A scripted server behind TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trustme

from tests.support.peer import Peer, Script


class TLSPeer(Peer):
    """A peer behind TLS, with a certificate for ``groq.test`` and this machine."""

    def __init__(self, *scripts: Script, authority: trustme.CA) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("groq.test", "127.0.0.1").configure_cert(self._context)
        super().__init__(scripts)
        self.port = int(self.base_url.split(":")[2].split("/")[0])
        self.base_url = self.base_url.replace("http://", "https://")

    def _play(self, accepted: socket.socket) -> None:
        with suppress(OSError):
            super()._play(self._context.wrap_socket(accepted, server_side=True))


@contextmanager
def tls_peer(*scripts: Script, authority: trustme.CA) -> Iterator[TLSPeer]:
    server = TLSPeer(*scripts, authority=authority)
    try:
        yield server
    finally:
        server.close()
