"""The CommonMark specification's examples, out of markdown-it-py's source distribution."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROJECT = "markdown-it-py"


@cache
def examples() -> list[str]:
    """The Markdown of each; number 1 is the first."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", PROJECT, "--dest", folder, f"{PROJECT}=={version(PROJECT)}"]
        subprocess.run(command, check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        found: list[dict[str, Any]] = []
        with tarfile.open(archive) as files:
            for member in files:
                if member.name.endswith("test_cmark_spec/commonmark.json"):
                    content = files.extractfile(member)
                    assert content is not None
                    found = json.load(content)
    assert len(found) == 652
    return [example["markdown"] for example in found]
