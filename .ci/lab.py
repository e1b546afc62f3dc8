"""The README's lab command, to the letter, in a fresh clone and a fresh environment.

Passes when JupyterLab answers with the examples; ends it then.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0
"""Seconds for all of the set-up."""


def main() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (command,) = re.findall(r"^pip install nox && nox -s lab$", readme, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder, running(command, Path(folder)) as server:
        for path in ("lab/tree/examples.ipynb", "api/contents/examples.ipynb"):
            answered = get(server, path)
            print(f"{path}: {len(answered):,} bytes")
        cells = json.loads(answered)["content"]["cells"]
        assert any(cell["source"].startswith("%%groq") for cell in cells)


@contextmanager
def running(command: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What the server says of itself, as soon as it listens."""
    clone, venv, runtime = (folder / name for name in ("clone", "venv", "runtime"))
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = {
        **os.environ,
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "BROWSER": "true",  # a program that does nothing: the command is the README's alone
    }
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=clone, env=environment, start_new_session=True
    )
    try:
        server = until_it_listens(process, runtime)
        yield server
        os.kill(server["pid"], signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):  # nothing is left, unless it failed
            os.killpg(process.pid, signal.SIGKILL)


def until_it_listens(process: subprocess.Popen[bytes], runtime: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the command ended with {process.returncode}"
        for found in runtime.glob("jpserver-*.json"):
            with suppress(ValueError, URLError):  # it may not be written whole yet, and is
                server = json.loads(found.read_text("utf-8"))  # written before it listens
                get(server, "api")
                return dict(server)
        time.sleep(0.2)
    raise TimeoutError(f"no server within {PATIENCE:.0f} s")


def get(server: dict[str, Any], path: str) -> bytes:
    headers = {"Authorization": f"token {server['token']}"}
    with urlopen(Request(f"{server['url']}{path}", headers=headers), timeout=60) as response:
        return bytes(response.read())


if __name__ == "__main__":
    main()
