"""How a kernel serves others while it renders a hostile text: ``python -m tests.bench.hostile``.

Each text arrives in one delta and is shown live in a real kernel. 0.3 seconds later a view sends
a Stop; meanwhile a second answer gets a delta every 10 ms. For each text: milliseconds from the
Stop until the server sees the connection closed; milliseconds that the slowest delta of the
second answer takes from the server to a reader in the kernel; seconds from the Stop until the
static output is there.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress

from tests.support.kernels import Kernel, running_kernel
from tests.support.peer import Connection, delta, peer

TEXTS = {
    "20,000 list items": "- a\n" * 20_000,
    "a 40 KB paragraph": "*a **b* c** [d " * 2_700,
    "8,000 images": "![a](https://example.org/b) " * 8_000,
    "20,000 paragraphs": "a\n\n" * 20_000,
    "16,000 images": "![a](https://example.org/b)" * 16_000,
}

SECOND = """
from groq_magic import stream
import threading, time
lags, second = [], stream('Hello', base_url={url!r})
def read():
    for delta in second:
        lags.append(time.time() - float(delta))
threading.Thread(target=read, daemon=True).start()
"""
FIRST = "lags.clear(); stream('Hello', base_url={url!r}, display=True); None"
RENDERED_FOR = 0.3
VIEW = "application/vnd.jupyter.widget-view+json"


def ticking(connection: Connection) -> None:
    connection.begin()
    with suppress(OSError):
        for _ in range(12_000):
            connection.chunk(delta(f"{time.time()} "))
            time.sleep(0.01)


def measure(kernel: Kernel, text: str) -> tuple[float, float, float]:
    """Milliseconds to the Stop and of the second answer's deltas, seconds to the static output."""

    def hostile(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta(text))
        connection.until_closed()

    with peer(hostile) as first, peer(ticking) as second:
        kernel.run(SECOND.format(url=second.base_url))
        run = kernel.run(FIRST.format(url=first.base_url))
        connection = first.connection()
        time.sleep(RENDERED_FOR)
        begun = time.perf_counter()
        (shown,) = run.of_type("display_data")
        (widget,) = (
            each["model_id"] for each in shown["content"]["data"].values() if "model_id" in each
        )
        kernel.send_to_widget(widget, {"type": "stop"})
        assert connection.closed.wait(60)
        stopped = time.perf_counter() - begun
        kernel.collect(run, lambda: bool(run.of_type("update_display_data")), 90)
        static = time.perf_counter() - begun
        lag = float(kernel.run("second.stop(); print(max(lags))").stdout)
    return stopped * 1e3, lag * 1e3, static


def main() -> None:
    environment = {**os.environ, "GROQ_API_KEY": "gsk_bench"}
    print(f"{'':20}{'Stop':>9}{'a delta of another':>22}{'static output':>16}")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_kernel({**environment, "IPYTHONDIR": folder}, folder) as kernel,
    ):
        kernel.run("%reload_ext groq_magic")
        for name, text in TEXTS.items():
            stopped, lag, static = measure(kernel, text)
            print(f"{name:20}{stopped:6.0f} ms{lag:19.0f} ms{static:14.1f} s", flush=True)


if __name__ == "__main__":
    main()
