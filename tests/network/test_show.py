"""What stays in the notebook, and plain Python without one."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markdown_it import MarkdownIt
from nbconvert import LatexExporter, MarkdownExporter, RSTExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from groq_magic import InputError
from groq_magic.accumulator import Accumulator
from groq_magic.answer import Answer
from groq_magic.display.frontend import somebody_watches
from groq_magic.display.show import show
from groq_magic.display.static import static_bundle
from groq_magic.display.status import Note
from groq_magic.display.table import Table
from groq_magic.wire.protocol import Chunk, Delta, Usage, request_parameters
from tests.support.attacks import ATTACKS
from tests.support.chunks import chunk, items
from tests.support.demo import Demo

HOSTILE = "<script>canary()</script> <img src=x onerror=canary()> ![i](https://evil.example/?q=1)"

TEMPLATES = Path(__file__).parents[2] / "jupyter-config" / "nbconvert"
ALLOWED = set("div span b br p details summary a h2 h3 code pre ul li strong em s".split())
ALLOWED_ATTRIBUTES = {"class", "style", "href", "rel", "target", "title", "aria-hidden"}


class Allowed(HTMLParser):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= ALLOWED_ATTRIBUTES


def ended(*given: Any, model: str = "m") -> Answer:
    answer = Answer(
        items(*given), content=Accumulator(model), parameters={"model": model, "temperature": 0.5}
    ).start()
    answer.wait(30)
    return answer


def html(answer: Answer) -> str:
    return static_bundle(answer)[0]["text/html"]


def text_of(html: str) -> str:
    return re.sub("<[^>]*>", "", html)


def test_done() -> None:
    usage = Usage(prompt_tokens=1234, completion_tokens=100, completion_time=0.25)
    answer = ended(chunk("**Hi**"), chunk(finish_reason="stop", usage=usage, request_id="req_1"))
    data, metadata = static_bundle(answer)
    assert "<strong>Hi</strong>" in data["text/html"]
    words = text_of(data["text/html"])
    assert re.search(
        r"m 1,234 \+ 100 tokens · 400 tokens/s · first after [\d.]+ s · [\d.]+ s", words
    )
    assert 'title="By the time that the server says it took">400' in data["text/html"]
    assert data["text/plain"] == "**Hi**"
    made = metadata["groq"]
    assert made["state"] == "done"
    assert made["parameters"] == {"model": "m", "temperature": 0.5}
    assert made["usage"] == usage.to_dict()
    assert made["request_id"] == "req_1"
    assert "error" not in made


def test_metadata_hold_no_text_of_a_parameter() -> None:
    plain = {"model": "m", "top_k": 4, "top_p": 0.5, "store": False, "reasoning_effort": "low"}
    texts = {"stop": ["tok_1"], "user": "tok_2", "tools": [{"headers": {"x": "tok_3"}}]}
    answer = Answer(
        items(chunk("a")), content=Accumulator("m"), parameters={**plain, **texts}
    ).start()
    answer.wait()
    assert static_bundle(answer)[1]["groq"]["parameters"] == plain
    assert answer.parameters == {**plain, **texts}


def test_without_the_servers_time_the_speed_is_about_right_and_says_so() -> None:
    given = (*[chunk("word ")] * 20, chunk(finish_reason="stop"))
    answer = Answer(items(*given), clock=map(float, count()).__next__).start()
    answer.wait(30)
    speed = re.search(r'title="([^"]*)">~[\d.]+ tokens/s', html(answer))
    assert speed is not None
    assert speed[1] == "By this machine&#x27;s clock"


def test_stopped_keeps_and_says_so() -> None:
    answer = Answer(items(chunk("half a"), 60.0), content=Accumulator("m")).start()
    next(iter(answer))
    answer.stop()
    data, metadata = static_bundle(answer)
    assert re.search(r"stopped after [\d.]+ s · 1 token kept", text_of(data["text/html"]))
    assert data["text/plain"] == "half a"
    assert metadata["groq"]["state"] == "stopped"


def test_stopped_before_anything_came() -> None:
    answer = Answer(items(60.0), content=Accumulator("m")).start()
    answer.stop()
    assert "No text has arrived." in html(answer)


def test_failed_says_why() -> None:
    answer = ended(chunk("half a"), ValueError("<odd>"))
    data, metadata = static_bundle(answer)
    assert "&lt;odd&gt;" in data["text/html"]
    assert data["text/plain"] == "half a"
    assert metadata["groq"]["error"] == "<odd>"


def test_reasoning_is_folded_markdown() -> None:
    answer = ended(Chunk(Delta(reasoning="hm <b> *it*")), chunk("a", finish_reason="stop"))
    assert "<summary>Thought</summary>" in html(answer)
    assert "<p>hm &lt;b&gt; <em>it</em></p>" in html(answer)


def test_no_line_of_the_html_is_blank() -> None:
    """nbconvert puts it into Markdown, where HTML goes on to the next blank line."""
    text = "```\na\n\n  \n\nb\n```"
    answer = ended(Chunk(Delta(reasoning="\n\nhm\n\n")), chunk(text, finish_reason="stop"))
    assert "a&#10;&#10;  &#10;\nb\n</code>" in html(answer)
    assert all(line.strip() for line in html(answer).splitlines())


def test_no_attack_leaves_its_place_in_an_export() -> None:
    """In Markdown the HTML stays HTML, in rst it stays indented, in LaTeX all is escaped."""
    outputs = []
    for attack in ATTACKS:
        answer = ended(Chunk(Delta(reasoning=attack)), chunk(attack), chunk(finish_reason="stop"))
        outputs.append(new_output("display_data", data=static_bundle(answer)[0]))
    notebook = new_notebook(cells=[new_code_cell(outputs=outputs)])
    markdown, rst, latex = (
        exporter().from_notebook_node(notebook)[0]
        for exporter in (MarkdownExporter, RSTExporter, LatexExporter)
    )
    shown = MarkdownIt("commonmark").render(markdown)
    assert all(output.data["text/html"] in shown for output in outputs)
    places = {line for line in rst.splitlines() if line.strip() and not line.startswith("    ")}
    assert places == {".. raw:: html"}
    body = latex.partition("\\begin{document}")[2]
    assert body.count("\\end{Verbatim}") == body.count("\\begin{Verbatim}")
    commands = "maketitle prompt boxspacing begin end textbackslash textasciitilde textasciicircum"
    assert set(re.findall(r"\\([A-Za-z]+)", body)) <= set(commands.split())


def test_the_template_of_nbconvert_writes_markdown_that_stays_in_its_quote() -> None:
    outputs = [new_output("display_data", data={"text/html": "<b>other</b>"})]
    for text in (
        "A formula, $x_1$.",
        "A fence that was cut:\n\n```python\na\n\nb",
        "<!-- c",
        "end",
    ):
        data, metadata = static_bundle(ended(chunk(text, finish_reason="stop")))
        outputs.append(new_output("display_data", data=data, metadata=metadata))
    exporter = MarkdownExporter(
        template_name="groq-magic", extra_template_basedirs=[str(TEMPLATES)]
    )
    notebook = new_notebook(cells=[new_code_cell(outputs=outputs)])
    markdown, _ = exporter.from_notebook_node(notebook)
    assert "<b>other</b>" in markdown
    assert "> A formula, $x_1$.\n" in markdown
    tokens = MarkdownIt("commonmark").parse(markdown)
    assert [token.type for token in tokens if token.level == 0].count("blockquote_open") == 4
    assert tokens[-3].content == "end"


def test_both_versions_of_mathjax_see_formulas_and_no_prices() -> None:
    made = html(ended(chunk("$5 or $6, and $a_1$", finish_reason="stop")))
    assert made.startswith('<div class="groq-answer mathjax_ignore tex2jax_ignore">')
    assert "<p>$5 or $6, and" in made
    assert '<span class="mathjax_process tex2jax_process">\\(a_1\\)</span>' in made


@pytest.mark.parametrize("end", [chunk(finish_reason="stop"), ValueError(HOSTILE)])
def test_nothing_a_model_or_server_says_becomes_markup(end: Any) -> None:
    reasoning = Chunk(Delta(reasoning=HOSTILE), model=HOSTILE)
    answer = ended(reasoning, chunk(HOSTILE), end, model=HOSTILE)
    answer._receiver.note = HOSTILE
    data, _ = static_bundle(answer)
    Allowed().feed(data["text/html"])
    assert data["text/plain"] == HOSTILE


def run_script(script: str, demo: Demo, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, script],
        env={**os.environ, "GROQ_BASE_URL": demo.base_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_note_has_links_and_code_to_click_and_to_type() -> None:
    said = "Set GROQ_API_KEY to a key from https://e.org/?a=1&b=<2>, or run %groq login. --seed 1"
    made = Note("Failed.", said, "red").html
    assert re.findall("<code>(.*?)</code>", made) == ["GROQ_API_KEY", "%groq login", "--seed 1"]
    assert re.findall('href="(.*?)"', made) == ["https://e.org/?a=1&amp;b"]
    assert "&lt;2&gt;" in made


@pytest.mark.parametrize("session", [True, False])
def test_a_kernel_that_keeps_only_the_header_of_a_request(
    monkeypatch: pytest.MonkeyPatch, *, session: bool
) -> None:
    """As xeus-python does: a server that starts it for a document says so."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if session:
        monkeypatch.setenv("JPY_SESSION_NAME", "/notebook.ipynb")
    kept = {"header": {"msg_type": "execute_request"}}
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda: kept))
    assert somebody_watches(shell) is session


def test_python_in_a_browser_has_no_threads() -> None:
    """As in Pyodide, where a missing package would be named in its stead."""
    script = (
        "import sys, types\n"
        "sys._emscripten_info = types.SimpleNamespace(pthreads=False)\n"
        "sys.modules['httpx'] = None\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'groq_magic')\n"
        "for cell in ('%%groq\\nHi', '%groq', 'from groq_magic import stream'):\n"
        "    shell.run_cell(cell)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = [line for line in ran.stdout.splitlines() if line]
    assert len(lines) == 3, ran.stdout
    assert all("groq_magic needs threads" in line for line in lines)


def test_a_plain_script_needs_no_ipython(demo: Demo) -> None:
    script = (
        "import sys; from groq_magic import stream\n"
        "print(stream('cat names').result()[:21])\n"
        "print('IPython' in sys.modules)"
    )
    assert run_script(script, demo, "-c").stdout == "Three names for a cat\nFalse\n"


def test_a_terminal_gets_the_text_as_it_is(demo: Demo) -> None:
    ran = in_terminal("get_ipython().run_cell_magic('groq', '', 'cat names')", demo)
    assert ran.stdout.startswith("Three names for a cat:\n\n- **Semicolon**")
    assert "2 + 64 tokens" in ran.stderr


def in_terminal(code: str, demo: Demo) -> subprocess.CompletedProcess[str]:
    options = ("-m", "IPython", "--no-banner", "--colors=NoColor", "--ext=groq_magic", "-c")
    return run_script(code, demo, *options)


def test_a_terminal_shows_an_answer_once_and_says_why_one_failed(demo: Demo) -> None:
    ask = "from groq_magic import stream\n"
    once = in_terminal(ask + "stream('cat names', display=True)", demo)
    assert once.stdout.count("Semicolon") == 1
    failed = in_terminal(ask + "stream('hi', model='demo/error-401')", demo)
    assert "401 Invalid API Key. Set GROQ_API_KEY" in failed.stderr


def test_a_terminal_gets_no_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    answer = ended(chunk("a\x1b]0;owned\x07\tb\x9bc\r\n"), chunk(finish_reason="stop"))
    show(answer)
    assert capsys.readouterr().out == "a]0;owned\tbc\n"
    assert static_bundle(answer)[0]["text/plain"] == "a]0;owned\tbc\n"


def test_nothing_that_prints_has_an_escape_sequence() -> None:
    steering = "a\x1b]0;owned\x07\u202eb"
    answer = ended(chunk(steering), chunk(finish_reason="stop"))
    plain = static_bundle(answer)[0]["text/plain"], Table([(steering, "x")]).bundle()["text/plain"]
    assert plain == ("a]0;ownedb", "a]0;ownedb  x")
    assert str(InputError(steering)) == "a]0;ownedb"
    with pytest.raises(InputError, match="model must be a name"):
        request_parameters(model=steering)


def test_an_interrupt_while_it_prints_stops_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    answer = Answer(items(chunk("a"), 60.0), content=Accumulator("m")).start()
    with redirect_stdout(Screen()), pytest.raises(KeyboardInterrupt):
        show(answer)
    assert answer.state == "stopped"
    assert "m · stopped after 0.0 s · 1 token kept" in capsys.readouterr().err
