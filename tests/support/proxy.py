"""An HTTP proxy on a real socket."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress


class Proxy:
    """An HTTP proxy that tunnels every CONNECT to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.asked.append(head.decode())
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                both = {client: server, server: client}
                while True:
                    for ready in select.select(list(both), [], [])[0]:
                        if not (data := ready.recv(65536)):
                            return
                        both[ready].sendall(data)
