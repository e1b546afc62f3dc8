"""Break each guarantee of SECURITY.md in a copy of the project: its named test must fail.

``nox -s mutants``; words behind ``--`` choose the rows that contain one of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_SECONDS = 900
_COPIES = 2


class Mutant(NamedTuple):
    """A change of one place in one file, and the test that must notice it."""

    file: str
    old: str
    new: str
    test: str


_STOP = """\
            try:
                runtime.loop.call(self._stop_here)
            except KeyboardInterrupt:
                runtime.loop.call(self._stop_here)
                raise
            finally:
                self._enter("stopped")  # the caller sees the end at once"""
MUTANTS = [
    # A model's text does nothing but stand there.
    Mutant(
        "display/widget.js",
        "summary.textContent = thought",
        "summary.innerHTML = thought",
        "browser/test_widget_js.py::test_the_summary_of_the_reasoning_is_text",
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
        "escape(self.rest)",
        "self.rest",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "display/static.py",
        "render(shown_reasoning(answer))",
        "shown_reasoning(answer)",
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "markdown/parser.py",
        '{"html": False, "linkify"',
        '{"html": True, "linkify"',
        "unit/test_parser.py::test_hostile_text",
    ),
    Mutant(
        "markdown/inline_html.py",
        '_NAMES = ("sub",',
        '_NAMES = ("script", "sub",',
        "unit/test_parser.py::test_hostile_text",
    ),
    Mutant(
        "markdown/links.py",
        "if not is_safe_link(str",
        "if not is_safe_or_local(str",
        "unit/test_parser.py::test_links_that_lead_nowhere_show_their_text",
    ),
    Mutant(
        "markdown/links.py",
        'r"(?:https?|mailto):"',
        'r"(?:https?|mailto|javascript):"',
        "unit/test_parser.py::test_hostile_text",
    ),
    Mutant(
        "markdown/parser.py",
        '{"html": False, "linkify"',
        '{"html": True, "linkify"',
        "unit/test_parser.py::test_combined_attacks_are_text",
    ),
    Mutant(
        "markdown/parser.py",
        '{"html": False, "linkify"',
        '{"html": True, "linkify"',
        "browser/test_attacks.py::test_no_attack_gets_through_while_it_streams",
    ),
    Mutant(
        "markdown/parser.py",
        '{"html": False, "linkify"',
        '{"html": True, "linkify"',
        "browser/test_lab.py::test_no_attack_gets_through",
    ),
    Mutant(
        "display/beside.py",
        "{escape(title)}</a>",
        "{title}</a>",
        "network/test_beside.py::test_no_attack_beside_the_text_becomes_markup",
    ),
    Mutant(
        "display/beside.py",
        "map(escape, _said(tool))",
        "_said(tool)",
        "network/test_beside.py::test_no_attack_beside_the_text_becomes_markup",
    ),
    Mutant(
        "display/beside.py",
        "{escape(printable(output[:_LONGEST_SHOWN]))}",
        "{printable(output[:_LONGEST_SHOWN])}",
        "network/test_beside.py::test_no_attack_beside_the_text_becomes_markup",
    ),
    Mutant(
        "display/beside.py",
        "map(escape, _said(tool))",
        "_said(tool)",
        "browser/test_attacks.py::test_no_attack_beside_the_text_gets_through",
    ),
    Mutant(
        "display/beside.py",
        "_BASE64.fullmatch(data :=",
        "(data :=",
        "network/test_beside.py::test_no_attack_beside_the_text_becomes_markup",
    ),
    # Other renderers of the file.
    Mutant(
        "display/static.py",
        "whole.translate(_LINE_ENDS))",
        "whole)",
        "network/test_show.py::test_no_attack_leaves_its_place_in_an_export",
    ),
    Mutant(
        "display/static.py",
        '"text/plain": plain_text(answer),',
        '"text/plain": answer.text, "text/markdown": answer.text,',
        "browser/test_saved.py::test_the_file_is_valid_and_has_each_answer_as_html_and_text",
    ),
    Mutant(
        "display/table.py",
        "{escape(text)}</{tag}>",
        "{text}</{tag}>",
        "network/test_models.py::test_nothing_a_server_says_becomes_markup",
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
    Mutant(
        "wire/endpoint.py",
        "key = None if base.is_demo else _key()",
        "key = _key()",
        "network/test_demo.py::test_it_gets_no_key",
    ),
    Mutant(
        "ipython/commands.py",
        "Endpoint(demo.start())",
        'Endpoint(demo.start(), __import__("os").environ["GROQ_API_KEY"])',
        "kernel/test_kernel.py::test_the_demo_command",
    ),
    # The key is written nowhere.
    Mutant(
        "wire/endpoint.py",
        "len(key) < _SHORTEST_SECRET",
        "False",
        "network/test_client.py::test_a_key_that_is_a_word_changes_no_answer",
    ),
    Mutant(
        "wire/endpoint.py",
        "api_key: str | None = field(default=None, repr=False)",
        "api_key: str | None = None",
        "kernel/test_trust.py::test_the_key_is_in_no_file",
    ),
    Mutant(
        "wire/endpoint.py",
        'if "\\\\" in text:',
        "if False:",
        "kernel/test_trust.py::test_the_key_is_in_no_file",
    ),
    Mutant(
        "wire/failures.py",
        "{name: endpoint.without_key(said) for",
        "{name: said for",
        "network/test_client.py::test_a_key_in_a_header_is_not_kept",
    ),
    Mutant(
        "wire/failures.py",
        "from without_frames(error)",
        "from error",
        "network/test_network.py::test_the_key_is_in_no_frame_behind_an_error",
    ),
    Mutant(
        "wire/endpoint.py",
        "        del key",
        "        pass",
        "network/test_network.py::test_a_mistyped_key_is_in_no_frame",
    ),
    Mutant(
        "wire/endpoint.py",
        "        del text  # it may",
        "        pass  # it may",
        "network/test_network.py::test_the_password_of_a_refused_url_is_in_no_frame",
    ),
    # No text takes the machine's time out of proportion to its length.
    Mutant(
        "markdown/segments.py",
        "_LONGEST = 1_500",
        "_LONGEST = 1_500_000",
        "unit/test_parser.py::test_math",
    ),
    Mutant(
        "markdown/limits.py",
        "state.level >= NESTING",
        "False",
        "unit/test_parser.py::test_nothing_vanishes_behind_what_is_nested_too_deep",
    ),
    Mutant(
        "markdown/open_leaves.py",
        "self._missing > MAX_AUTOCOMPLETED_CELLS",
        "False",
        "unit/test_streaming.py::test_a_table_is_not_filled_up_without_end",
    ),
    Mutant(
        "display/live.py",
        "await asyncio.to_thread(function)",
        "function()",
        "kernel/test_kernel.py::test_the_loop_runs_on_while_a_text_is_rendered",
    ),
    Mutant(
        "display/live.py",
        "await asyncio.to_thread(function)",
        "function()",
        "kernel/test_kernel.py::test_a_stop_and_other_answers_are_served_while_a_text_is_rendered",
    ),
    Mutant(
        "markdown/math.py",
        "    searched[search] = line\n",
        "",
        "unit/test_work.py::test_no_text_makes_the_work_grow_faster_than_itself",
    ),
    Mutant(
        "wire/client.py",
        "                    await asyncio.sleep(0)\n",
        "",
        "network/test_client.py::test_a_stop_is_heard_while_near_names_are_sought",
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
    Mutant(
        "wire/body.py",
        'raise _unreadable("in a way that groq_magic did not ask for")',
        "return _decompressed(body)",
        "network/test_faults.py::test_a_fault[br-http]",
    ),
    Mutant(
        "wire/body.py",
        "decompress(rest, _STEP)",
        "decompress(rest)",
        "network/test_faults.py::test_the_loop_is_free_between_the_steps_of_unpacking",
    ),
    Mutant(
        "wire/client.py",
        "anyio.fail_after(within and min(silence, within))",
        "anyio.fail_after(None)",
        "network/test_faults.py::test_a_fault[500, dripping-http]",
    ),
    Mutant(
        "wire/client.py",
        "max_keepalive_connections=_IDLE_CONNECTIONS",
        "max_keepalive_connections=100",
        "network/test_faults.py::test_few_idle_connections_are_kept",
    ),
    Mutant(
        "wire/models.py",
        " if isinstance(listed, list) else ()",
        "",
        "network/test_client.py::test_a_list_of_models_that_is_none_changes_nothing",
    ),
    Mutant(
        "errors.py",
        "if len(text) > _LONGEST_SENTENCE:",
        "if False:",
        "unit/test_parsing.py::test_a_long_message_of_a_server_is_cut_where_it_is_shown",
    ),
    Mutant(
        "receiver.py",
        "        self.job.cancel_here()\n",
        "",
        "network/test_answer.py::test_stop_closes_the_connection",
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
    Mutant(
        "display/static.py",
        'return printable("\\n\\n".join(filter(None, [tools, answer.text, calls])))',
        'return "\\n\\n".join(filter(None, [tools, answer.text, calls]))',
        "network/test_show.py::test_nothing_that_prints_has_an_escape_sequence",
    ),
    Mutant(
        "display/table.py",
        "list(map(printable, row))",
        "list(row)",
        "network/test_show.py::test_nothing_that_prints_has_an_escape_sequence",
    ),
    Mutant(
        "errors.py",
        'printable(" ".join(text.split()))',
        '" ".join(text.split())',
        "network/test_client.py::test_no_server_steers_a_terminal",
    ),
    Mutant(
        "errors.py",
        "return printable(super().__str__())",
        "return super().__str__()",
        "kernel/test_terminals.py::test_in_ipython_nothing_of_a_value_steers_the_terminal",
    ),
    Mutant(
        "errors.py",
        "return text.translate(_CONTROLS)",
        "return text",
        "kernel/test_terminals.py::test_in_a_console_nothing_of_an_answer_steers_the_terminal",
    ),
    # A notebook from elsewhere: its saved answers bring nothing that could run.
    Mutant(
        "display/static.py",
        '<div class="{_CLASSES}">',
        '<img src=x onerror=x><div class="{_CLASSES}">',
        "network/test_show.py::test_nothing_a_model_or_server_says_becomes_markup",
    ),
    Mutant(
        "display/static.py",
        '<div class="{_CLASSES}">',
        '<div class="{_CLASSES}"><img src=x onerror=x>',
        "browser/test_saved.py::test_reopened_where_there_is_no_kernel_all_is_there",
    ),
    # Messages of other comms and kernels.
    Mutant(
        "display/widget.js",
        "outputs.get(index).data?.[WIDGET]?.model_id === modelId",
        "outputs.get(index).data?.[WIDGET]",
        "browser/test_widget_js.py::test_a_view_that_knows_nothing_yet_touches_no_output",
    ),
    # The plugin's buttons and commands act on our outputs alone.
    Mutant(
        "../jupyter-config/labextension/static/answers.js",
        "const made = found?.output.metadata.groq;",
        "const made = found && {};",
        "browser/test_plugin.py::test_what_is_no_answer_gets_no_buttons",
    ),
    # A formula stays in its place.
    Mutant(
        "markdown/math.py",
        'return token["command"] in _COMMANDS',
        "return True",
        "unit/test_math.py::test_a_formula_that_reaches_beyond_itself_is_shown_as_its_source",
    ),
    Mutant(
        "markdown/math.py",
        "len(closers) > _DEPTH",
        "False",
        "unit/test_math.py::test_a_formula_that_reaches_beyond_itself_is_shown_as_its_source",
    ),
    Mutant(
        "markdown/math.py",
        "len(tex) > _LIMIT",
        "False",
        "unit/test_math.py::test_a_formula_that_reaches_beyond_itself_is_shown_as_its_source",
    ),
    Mutant(
        "markdown/math.py",
        "if not is_safe_formula(token.content):",
        "if False:",
        "unit/test_math.py::test_a_formula_that_reaches_beyond_itself_is_shown_as_its_source",
    ),
    Mutant(
        "markdown/math.py",
        "_COUNT_LIMIT = 1_000",
        "_COUNT_LIMIT = 1_000_000",
        "unit/test_math.py::test_only_the_first_thousand_formulas_are_typeset",
    ),
    # A value in a flag is text.
    Mutant(
        "ipython/flags.py",
        'and value.startswith("@")',
        'and fill(value).startswith("@")',
        "kernel/test_interpolation.py::test_a_value_is_no_flag_and_no_file",
    ),
    Mutant(
        "ipython/flags.py",
        "words = shlex.split(_with_quotes(text))",
        "words = shlex.split(line)",
        "kernel/test_interpolation.py::test_a_value_is_no_flag_and_no_file",
    ),
    Mutant(
        "ipython/flags.py",
        'is_typed = filled["chat"] == given["chat"]',
        "is_typed = True",
        "kernel/test_interpolation.py::test_a_chats_name_from_a_value_is_no_variable",
    ),
    Mutant(
        "ipython/flags.py",
        'str if value.startswith("{{") else _inside_quotes',
        "str",
        "kernel/test_interpolation.py::test_a_value_stays_within_the_quotes_of_a_parameter",
    ),
    # Metadata hold no text of your parameters.
    Mutant(
        "display/static.py",
        "dict(filter(_is_plain, answer.parameters.items()))",
        "dict(answer.parameters)",
        "network/test_show.py::test_metadata_hold_no_text_of_a_parameter",
    ),
    # An interrupt, a fork and an exit leave nothing behind.
    Mutant(
        "receiver.py",
        _STOP,
        '            self._enter("stopped")\n            runtime.loop.call(self._stop_here)\n',
        "network/test_answer.py::test_an_interrupt_at_any_line_leaves_nothing_held",
    ),
    Mutant(
        "answer.py",
        "        with self:\n            return self._receiver.finished",
        "        if True:\n            return self._receiver.finished",
        "network/test_answer.py::test_an_interrupt_of_who_waits_stops_it",
    ),
    Mutant(
        "runtime/loop.py",
        "self._scope.cancel()",
        "self._task.cancel()",
        "network/test_faults.py::test_a_stop_leaves_nothing_open_wherever_it_falls",
    ),
    Mutant(
        "answer.py",
        "        with self:\n            self._receiver.job.start()",
        "        if True:\n            self._receiver.job.start()",
        "network/test_answer.py::test_an_interrupt_at_any_line_of_stream_leaves_no_request",
    ),
    Mutant(
        "receiver.py",
        "            _forget_request(error)\n",
        "            pass\n",
        "network/test_answer.py::test_a_failed_answer_keeps_neither_its_request_nor_its_frames",
    ),
    Mutant(
        "receiver.py",
        "            _forget_request(error)\n",
        "            pass\n",
        "network/test_answer.py::test_failed_answers_let_go_of_large_prompts",
    ),
    Mutant(
        "runtime/loop.py",
        "        except RuntimeError as error:",
        "        except ZeroDivisionError as error:",
        "network/test_answer.py::test_a_thread_that_cannot_start_is_said_and_tried_again",
    ),
    Mutant(
        "runtime/loop.py",
        "while self._is_forking and",
        "while False and",
        "network/test_answer.py::test_nothing_that_must_not_be_forked_begins_while_a_fork_does",
    ),
    Mutant(
        "runtime/loop.py",
        "while self._is_held and",
        "while False and",
        "network/test_answer.py::test_a_fork_waits_where_modules_come_slowly",
    ),
    Mutant(
        "runtime/loop.py",
        "        loop.set_default_executor(DaemonThreads())\n",
        "",
        "network/test_answer.py::test_a_name_that_is_looked_up_for_ever_delays_no_exit",
    ),
    # The file of kept answers.
    Mutant(
        "store.py",
        "mode=0o600",
        "mode=0o644",
        "network/test_kept.py::test_the_first_use_says_where_and_the_file_is_the_owners",
    ),
    Mutant(
        "limits/ledger.py",
        "sha256(parts.encode()).hexdigest()[:32]",
        "parts",
        "network/test_limits.py::test_the_file_holds_no_key_no_server_and_no_prompt",
    ),
    Mutant(
        "question.py",
        'clean(parts[0]["text"])',
        'parts[0]["text"]',
        "network/test_kept.py::test_neither_the_key_nor_a_header_is_in_the_file",
    ),
    Mutant(
        "question.py",
        "_hash(before)",
        "json.dumps(before)",
        "network/test_kept.py::test_an_earlier_turn_is_not_in_the_file",
    ),
    Mutant(
        "display/status.py",
        "{escape(answer.model)}",
        "{answer.model}",
        "network/test_kept.py::test_a_hostile_answer_is_text",
    ),
    Mutant(
        "store.py",
        "if _made_by(db) != [*_SCHEMA[:-1]]:",
        "if False:",
        "network/test_kept.py::test_a_file_that_cannot_be_used_is_one_line_and_sends_nothing",
    ),
    # The demo server answers who knows its secret.
    Mutant(
        "demo/server.py",
        "path = _PATH + secrets.token_urlsafe(16)",
        "path = _PATH",
        "network/test_demo.py::test_only_who_knows_its_secret_is_answered",
    ),
    Mutant(
        "demo/server.py",
        'self.request.host not in self.settings["hosts"] or ',
        "",
        "network/test_demo.py::test_no_page_of_a_browser_is_answered",
    ),
    Mutant(
        "demo/server.py",
        ' or "Origin" in self.request.headers',
        "",
        "network/test_demo.py::test_no_page_of_a_browser_is_answered",
    ),
    Mutant(
        "demo/server.py",
        "    if keep_requests:\n",
        "    if True:\n",
        "network/test_demo.py::test_it_keeps_no_request_unless_told_to",
    ),
    Mutant(
        "demo/server.py",
        "env={name: os.environ[name] for name in _NEEDED if name in os.environ}",
        "env=dict(os.environ)",
        "network/test_demo.py::test_it_inherits_what_python_needs",
    ),
    # The start of a kernel or a terminal runs nothing of the working folder.
    Mutant(
        "../jupyter-config/ipython/startup/50-groq-magic.py",
        "        sys.path[:] = filter(None, head + path[3:])\n",
        "",
        "kernel/test_startup.py::test_a_kernel_runs_nothing_of_its_folder",
    ),
    Mutant(
        "../jupyter-config/ipython/startup/50-groq-magic.py",
        "        sys.path[:] = filter(None, head + path[3:])\n",
        "",
        "kernel/test_startup.py::test_a_terminal_runs_nothing_of_its_folder",
    ),
    Mutant(
        "../jupyter-config/ipython/startup/50-groq-magic.py",
        "if folder != str(Path.cwd())",
        "",
        "kernel/test_startup.py::test_a_terminal_runs_nothing_of_its_folder",
    ),
    # A saved chat.
    Mutant(
        "conversation.py",
        "        _replace(Path(path), json.dumps(saved, ensure_ascii=False, indent=1))",
        "        Path(path).write_text(json.dumps(saved, ensure_ascii=False, indent=1))",
        "kernel/test_chats.py::test_a_save_follows_no_link_and_is_for_the_owner_alone",
    ),
    Mutant(
        "conversation.py",
        "if is_ours(_typed(str, url)):",
        "if _typed(str, url):",
        "kernel/test_chats.py::test_a_loaded_chat_has_images_of_our_kinds_alone",
    ),
    Mutant(
        "conversation.py",
        'if self.system else ""\n        return f"<Conv',
        'if False else ""\n        return f"<Conv',
        "kernel/test_chats.py::test_a_loaded_chat_shows_what_the_model_is_told_first",
    ),
]


def _caught(mutants: list[Mutant], folder: Path) -> list[bool]:
    """Whether a test notices each of them; as many at a time as there are copies of the project."""
    copies: Queue[Path] = Queue()
    ignored = shutil.ignore_patterns(".git", ".nox", "*cache*", "__pycache__")
    for number in range(_COPIES):
        copies.put(shutil.copytree(ROOT, folder / str(number), ignore=ignored))

    def try_one(mutant: Mutant) -> bool:
        tree = copies.get()
        try:
            return _is_caught(mutant, tree)
        finally:
            copies.put(tree)

    with ThreadPoolExecutor(_COPIES) as threads:
        return list(threads.map(try_one, mutants))


def _is_caught(mutant: Mutant, tree: Path) -> bool:
    path = tree / "groq_magic" / mutant.file
    whole = path.read_text("utf-8") if path.exists() else ""
    if mutant.old not in whole:
        return _says(mutant, "NOT FOUND", is_caught=False)
    path.write_text(whole.replace(mutant.old, mutant.new), "utf-8")
    try:
        code, said = _run(mutant.test, tree)
    except subprocess.TimeoutExpired:
        return _says(mutant, "TOO LONG", is_caught=False)
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
        caught = sum(_caught(chosen, Path(folder)))
    print(f"{caught} of {len(chosen)} caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
