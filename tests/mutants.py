"""Break each guarantee of SECURITY.md in a copy of the project: its named test must fail.

``nox -s mutants``; words behind ``--`` choose the rows that contain one of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_SECONDS = 300


class Mutant(NamedTuple):
    """A change of one place in one file, and the test that must notice it."""

    file: str
    old: str
    new: str
    test: str


MUTANTS = [
    # A model's text does nothing but stand there.
    Mutant(
        "display/widget.js",
        "reasoning.append(text)",
        'reasoning.insertAdjacentHTML("beforeend", text)',
        "browser/test_widget_js.py::test_reasoning_and_its_summary_are_text",
    ),
    Mutant(
        "display/widget.js",
        "summary.textContent = thought",
        "summary.innerHTML = thought",
        "browser/test_widget_js.py::test_reasoning_and_its_summary_are_text",
    ),
    Mutant(
        "display/status.py",
        "<br>{escape(answer.note)}",
        "<br>{answer.note}",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "display/status.py",
        "{escape(answer.model)}",
        "{answer.model}",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "display/status.py",
        "{escape(self.rest)}",
        "{self.rest}",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "display/static.py",
        "{escape(shown_reasoning(answer))}",
        "{shown_reasoning(answer)}",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "markdown/parser.py",
        '{"html": False, "linkify"',
        '{"html": True, "linkify"',
        "unit/test_parser.py::test_hostile_text",
    ),
    Mutant(
        "markdown/links.py",
        'r"(?:https?|mailto):"',
        'r"(?:https?|mailto|javascript):"',
        "unit/test_parser.py::test_hostile_text",
    ),
    # Other renderers of the file.
    Mutant(
        "display/static.py",
        "whole.translate(_LINE_ENDS))",
        "whole)",
        "network/test_show.py::test_no_attack_leaves_its_place_in_an_export",
    ),
    # Nothing is fetched because a model wrote it.
    Mutant(
        "markdown/links.py",
        'token.type == "image"',
        'token.type == "picture"',
        "unit/test_parser.py::test_hostile_text",
    ),
    # The key goes to the configured server alone.
    Mutant(
        "wire/endpoint.py",
        "if url.userinfo else",
        "if False else",
        "network/test_client.py::test_urls_that_are_refused",
    ),
    Mutant(
        "wire/endpoint.py",
        'base.is_safe or os.environ.get(_UNENCRYPTED) == "yes"',
        "True",
        "network/test_client.py::test_urls_that_are_refused",
    ),
    Mutant(
        "wire/endpoint.py",
        "is_loopback = host in LOOPBACK",
        'is_loopback = host in LOOPBACK or host.startswith("127.")',
        "network/test_network.py::test_this_machine_has_three_names",
    ),
    Mutant(
        "wire/client.py",
        "follow_redirects=False",
        "follow_redirects=True",
        "network/test_faults.py::test_a_redirect_gets_nothing",
    ),
    Mutant(
        "wire/client.py",
        "follow_redirects=False,",
        "follow_redirects=False, verify=False,",
        "network/test_faults.py::test_a_certificate_that_is_not_trusted",
    ),
    # The key is written nowhere.
    Mutant(
        "wire/endpoint.py",
        "len(key) < _SHORTEST_SECRET",
        "False",
        "network/test_client.py::test_a_key_that_is_a_word_changes_no_answer",
    ),
    # No text takes the machine's time out of proportion to its length.
    Mutant(
        "markdown/math.py",
        "_INLINE_LIMIT = 2_000",
        "_INLINE_LIMIT = 2_000_000",
        "unit/test_parser.py::test_math",
    ),
    Mutant(
        "display/live.py",
        "await asyncio.to_thread(function)",
        "function()",
        "kernel/test_kernel.py::test_the_loop_runs_on_while_a_text_is_rendered",
    ),
    # A hostile server.
    Mutant(
        "wire/client.py",
        "_ERROR_BODY_LIMIT = 64 * 1024",
        "_ERROR_BODY_LIMIT = 256 * 2**20",
        "network/test_errors.py::test_an_error_body_is_read_only_in_part",
    ),
    Mutant(
        "wire/sse.py",
        "if self._size > self._max_event_size:",
        "if False:",
        "unit/test_sse.py::test_an_event_has_a_largest_size",
    ),
    # The demo server's secret is in no output.
    Mutant(
        "wire/endpoint.py",
        "return base_url.partition(_DEMO_PATH)[0] if",
        "return base_url if",
        "kernel/test_commands.py::test_the_status_of_a_kernel_that_has_asked_nothing",
    ),
    # A terminal gets no escape sequences.
    Mutant(
        "display/show.py",
        "printable(delta)",
        "delta",
        "network/test_show.py::test_a_terminal_gets_no_escape_sequences",
    ),
    # A notebook from elsewhere: its saved answers bring nothing that could run.
    Mutant(
        "display/static.py",
        '<div class="{_CLASSES}">',
        '<img src=x onerror=x><div class="{_CLASSES}">',
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    # Messages of other comms and kernels.
    Mutant(
        "display/widget.js",
        "?.model_id === modelId",
        "",
        "browser/test_widget_js.py::test_a_view_that_knows_nothing_yet_touches_no_output",
    ),
]


def survivors(mutants: list[Mutant], tree: Path) -> int:
    """How many of them no test notices, or no longer fit the code; ``tree`` is a copy of it."""
    return sum(not _is_caught(mutant, tree) for mutant in mutants)


def _is_caught(mutant: Mutant, tree: Path) -> bool:
    path = tree / "groq_magic" / mutant.file
    whole = path.read_text("utf-8") if path.exists() else ""
    if mutant.old not in whole:
        return _says(mutant, "NOT FOUND", is_caught=False)
    path.write_text(whole.replace(mutant.old, mutant.new), "utf-8")
    try:
        code, said = _run(mutant.test, tree)
    finally:
        path.write_text(whole, "utf-8")
    # One that fails for want of something to import or to collect would fail for any reason.
    is_caught = code == 1 and bool(re.search(r"^FAILED", said, re.MULTILINE))
    return _says(mutant, "caught" if is_caught else "SURVIVED", is_caught=is_caught)


def _run(test: str, tree: Path) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{test}"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return ran.returncode, ran.stdout


def _says(mutant: Mutant, outcome: str, *, is_caught: bool) -> bool:
    print(f"{outcome:9}  {mutant.file}: {mutant.old.strip()!r}  {mutant.test}", flush=True)
    return is_caught


def main(words: list[str]) -> int:
    """Try the chosen ones; 1 if any survives."""
    chosen = [one for one in MUTANTS if not words or any(word in str(one) for word in words)]
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".git", ".nox", "*cache*", "__pycache__")
        shutil.copytree(ROOT, tree, ignore=ignored)
        left = survivors(chosen, tree)
    print(f"{len(chosen) - left} of {len(chosen)} caught")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
