"""What a cell says and what is sent for it: the table of prompts, in a real kernel."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic.prompt.interpolation import interpolate
from tests.support.demo import Demo
from tests.support.kernels import Kernel, running_kernel
from tests.support.waiting import until

TOKENS_PER_SECOND = 5000
SET_UP = """
import decimal, fractions, io
import matplotlib.pyplot as plt, pandas as pd, polars as pl
from IPython.display import Image, Latex, Markdown
from groq_magic import stream
name, n, empty, code = "Ada", 7, "", "if x:\\n    {y}"
user = {"name": "Grace", "langs": ["FORTRAN", "COBOL"]}
df = pd.DataFrame({"city": ["Oslo", "Rome|Roma"], "t": [1.5, 22]})
indexed = df.set_index("city")
twofold = pd.DataFrame({"v": [1]}, index=pd.MultiIndex.from_tuples([("a", 1)], names=["k", "i"]))
pal = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
long = pd.DataFrame({"text": ["0123456789" * 10] * 100_000})
wide = pd.DataFrame([range(5000)], columns=[f"column_{i}" for i in range(5000)])
cell = pd.DataFrame({"a": ["x" * 600]})
fig, axes = plt.subplots(figsize=(1, 1))
plt.close(fig)
png = io.BytesIO()
fig.savefig(png, format="png")
picture = Image(png.getvalue(), format="png")
class Broken:
    def __repr__(self):
        raise RuntimeError("out of order,\\nsorry")
class BrokenMarkdown:
    def _repr_markdown_(self):
        raise KeyError("missing")
class Marked:
    def _repr_markdown_(self):
        return "**marked**"
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("mute")
def fail(error):
    raise error
class Listed:
    def _repr_markdown_(self):
        return ["a"]
class Half:
    def _repr_png_(self):
        return png.getvalue()
    def _repr_jpeg_(self):
        raise ValueError("no jpeg")
class Badly:
    def savefig(self, file, format):
        raise ValueError("nothing\\nto draw")
listed, halved, badly = Listed(), Half(), Badly()
ended = stream("cat names")
class Whatever:
    def __getattr__(self, name):
        return lambda *args, **kwargs: 1 / 0
    def __repr__(self):
        return "<Whatever>"
broken, broken_markdown, marked, whatever = Broken(), BrokenMarkdown(), Marked(), Whatever()
cats = stream("cat names")
slow = stream("cat names", model="demo/slow")
failed = stream("x", model="demo/error-401")
for each in ended, cats, failed:
    each.wait()
begun = next(iter(slow))  # and so no request of these comes among those of a test
"""


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": home}
    with running_kernel(environment, home) as kernel:
        kernel.run("%reload_ext groq_magic")
        assert kernel.run("'the first value'").error == ""
        assert kernel.run(SET_UP, timeout=60).error == ""
        kernel.run("{}['gone']")  # and so there is an error
        yield kernel


CITIES = "|  | city | t |\n| --- | --- | --- |\n| 0 | Oslo | 1.5 |\n| 1 | Rome\\|Roma | 22.0 |"

SENT = {
    # What is no expression is sent as it stands.
    "single braces": ("{name} and { name }", "{name} and { name }"),
    "JSON": ('{"a": {"b": {"c": [1, {}]}}}', '{"a": {"b": {"c": [1, {}]}}}'),
    "JSON with blanks": ('{ "a": { "b": 1 } }', '{ "a": { "b": 1 } }'),
    "LaTeX": (r"$\frac{{a}}{{b}}$, $x_{{i}}^{2}$", r"$\frac{{a}}{{b}}$, $x_{{i}}^{2}$"),
    "Jinja": ("{% if x %}{{name|e}}{% endif %}{# no #}", "{% if x %}{{name|e}}{% endif %}{# no #}"),
    "tight": ("Dear {{name}},", "Dear {{name}},"),
    "an f-string": ('f"{{name}} is {name!r:>10}"', 'f"{{name}} is {name!r:>10}"'),
    "a dict": ("d = {1: {2: 3}}", "d = {1: {2: 3}}"),
    "a set of sets": ("{{1}, {2}}", "{{1}, {2}}"),
    "closing braces in code": ("if (a) { b({c: {d: 1 }}) }", "if (a) { b({c: {d: 1 }}) }"),
    "C": ("int a[2][2] = {{1, 2}, {3, 4}};", "int a[2][2] = {{1, 2}, {3, 4}};"),
    "a dollar": ("$name costs $5, `echo $HOME`", "$name costs $5, `echo $HOME`"),
    "percent": ("%s and %(name)s and %d", "%s and %(name)s and %d"),
    "unicode": ("Grüße, 世界 🌍 {é}", "Grüße, 世界 🌍 {é}"),
    "control": ("a\tb\x0b\u2028c", "a\tb\x0b\u2028c"),
    # Texts are put in as they are.
    "a variable": ("Dear {{ name }},", "Dear Ada,"),
    "at the edges": ("{{ name }}", "Ada"),
    "two": ("{{ name }}{{ n }}", "Ada7"),
    "an empty text": ("a{{ empty }}b", "ab"),
    "braces in a value": ("{{ code }}", "if x:\n    {y}"),
    "braces that a value brings": ("{{ '{' + '{ n }' + '}' }}", "{{ n }}"),
    "a call": ("{{ name.upper()[::-1] }}", "ADA"),
    "a dict's item": ("{{ user['langs'][0] }} by {{ user['name'] }}", "FORTRAN by Grace"),
    "an f-string in it": ("{{ f'{n:03d}' }}", "007"),
    "a dict in it": ("{{ {'a': {'b': n}} }}", "{'a': {'b': 7}}"),
    "a dict that looks like the end": ("{{ {'a': {'b': n }} }}", "{'a': {'b': 7}}"),
    "the end in a text": ("{{ ' }} ' + name }}", " }} Ada"),
    "a comprehension": ("{{ [n * i for i in range(3)] }}", "[0, 7, 14]"),
    "a lambda": ("{{ (lambda: n)() }}", "7"),
    "over lines": ("{{\n  sum([1,\n       n])\n}}!", "8!"),
    "unicode in it": ("{{ 'é' + name }} 🌍", "éAda 🌍"),
    "in code": ("```python\n{{ code }}\n```", "```python\nif x:\n    {y}\n```"),
    # Values, as they display.
    "a number": ("{{ n }}", "7"),
    "none": ("{{ None }}", "None"),
    "a list": ("{{ user['langs'] }}", "['FORTRAN', 'COBOL']"),
    "a fraction": ("{{ fractions.Fraction(1, 3) }}", "Fraction(1, 3)"),
    "Markdown": ("{{ Markdown('**a**') }}", "**a**"),
    "an object with Markdown": ("{{ marked }}", "**marked**"),
    "LaTeX of an object": ("{{ Latex('$x$') }}", "$x$"),
    "an object that answers to all": ("{{ whatever }}", "<Whatever>"),
    "a DataFrame": ("{{ df }}", CITIES),
    "a table within a line": (
        "of {{ df }}: 1\n{{ df }}\n2",
        f"of \n\n{CITIES}\n\n: 1\n{CITIES}\n2",
    ),
    "its head": ("{{ df.head(1) }}", "\n".join(CITIES.splitlines()[:3])),
    "an index": ("{{ indexed.tail(1) }}", "| city | t |\n| --- | --- |\n| Rome\\|Roma | 22.0 |"),
    "two indexes": ("{{ twofold }}", "| k, i | v |\n| --- | --- |\n| a, 1 | 1 |"),
    "a series": ("{{ df['t'] }}", "|  | t |\n| --- | --- |\n| 0 | 1.5 |\n| 1 | 22.0 |"),
    "polars": ("{{ pal }}", "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | None |"),
    "a cell too long": (
        "{{ cell }}",
        f"|  | a |\n| --- | --- |\n| 0 | {'x' * 500}… (600 characters) |",
    ),
    "much text of one's own": ("{{ 'ab' * 50_000 }}", "ab" * 50_000),
    "a long value": (
        "{{ Markdown('ab' * 50_000) }}",
        f"{'ab' * 10_000}\n(Cut: the first 20,000 of 100,000 characters.)",
    ),
    # What the notebook has.
    "a cell": ("{{ In[2] }}", "'the first value'"),
    "a result": ("{{ Out[2] }} {{ _ }}", "the first value the first value"),
}


@pytest.mark.parametrize(("prompt", "sent"), SENT.values(), ids=SENT.keys())
def test_a_cell_is_sent_with_its_values(
    kernel: Kernel, server: Demo, prompt: str, sent: str
) -> None:
    assert asked(kernel, server, prompt) == sent


def asked(kernel: Kernel, server: Demo, prompt: str, flags: str = "") -> Any:
    """The content of the only message that a cell sends."""
    before = len(server.seen())
    run = kernel.run(f"%%groq --max-tokens 1 {flags}\n{prompt}")
    assert (run.error, "UsageError" in run.stdout) == ("", False)

    def sent() -> list[dict[str, Any]]:  # a request of an answer in the prompt may come late
        bodies = [each for each in server.seen()[before:] if each["state"] == "done"]
        return [each for each in bodies if each["body"].get("max_completion_tokens") == 1]

    until(sent)
    ((message,),) = (each["body"]["messages"] for each in sent())
    assert message["role"] == "user"
    return message["content"]


NOT_SENT = {
    "an unknown name": (
        "{{ nmae }}",
        "{{ nmae }}: NameError: name 'nmae' is not defined. Similar names: name",
    ),
    "an unknown attribute": (
        "{{ df.hed() }}",
        "'DataFrame' object has no attribute 'hed'. Similar names: head",
    ),
    "a key": ("{{ user['age'] }}", "{{ user['age'] }}: KeyError: 'age'"),
    "a column": ("{{ df['citty'] }}", "{{ df['citty'] }}: KeyError: 'citty'"),
    "a division": ("{{ 1 / 0 }}", "{{ 1 / 0 }}: ZeroDivisionError: division by zero"),
    "the second of two": ("{{ name }} {{ 1 / 0 }}", "{{ 1 / 0 }}: ZeroDivisionError"),
    "no word": ("{{ [].pop(0 if name else 1) }}", "IndexError: pop from empty list"),
    "a failure without words": ("{{ next(iter([])) }}", "{{ next(iter([])) }}: StopIteration"),
    "Jinja's own": ("{{ user.name }}", "'dict' object has no attribute 'name'"),
    "a filter": ("{{ name | upper }}", "NameError: name 'upper' is not defined"),
    "no expression": ("{{ a b }}", "{{ a b }}: invalid syntax"),
    "a statement": ("{{ x = 1 }}", "{{ x = 1 }}: "),
    "nothing": ("{{  }}", "{{  }}: "),
    "no end": ("What is {{ in Jinja?", "'{{ in Jinja?' has no end: a space and two"),
    "half an end": ("{{ name }", "'{{ name }' has no end"),
    "C with blanks": ("{{ 1, 2 }, { 3, 4 }}", "To send braces unchanged: --raw"),
    "a broken repr": ("{{ broken }}", "{{ broken }}: RuntimeError: out of order, sorry"),
    "broken Markdown": ("{{ broken_markdown }}", "{{ broken_markdown }}: KeyError: 'missing'"),
    "an answer that failed": ("{{ failed }}", "{{ failed }}: AuthenticationError: "),
    "a comment": ("{{ # no }}", "{{ # no }}: "),
    "half a character": ("{{ chr(0xd83d) }}", "The prompt has half a character"),
    "an error that cannot be told": ("{{ fail(Mute()) }}", "{{ fail(Mute()) }}: Mute"),
    "an exit": ("{{ fail(SystemExit(3)) }}", "{{ fail(SystemExit(3)) }}: SystemExit: 3"),
    "no text": ("{{ listed }}", "it displays as a list, not as text"),
    "NUL": ("{{ '\0' + }}", "To send braces unchanged: --raw"),
}


@pytest.mark.parametrize(("prompt", "message"), NOT_SENT.values(), ids=NOT_SENT.keys())
def test_a_failing_expression_gives_one_line_and_sends_nothing(
    kernel: Kernel, server: Demo, prompt: str, message: str
) -> None:
    before = len(server.seen())
    run = kernel.run(f"%%groq\n{prompt}")
    assert run.stdout.startswith("UsageError: ")
    assert message in run.stdout
    assert len(run.stdout.strip().splitlines()) == 1
    assert len(server.seen()) == before


def test_one_invalid_expression_prevents_the_evaluation_of_all(kernel: Kernel) -> None:
    kernel.run("done = []")
    kernel.run("%%groq\n{{ done.append(1) }} {{ a b }}")
    assert kernel.run("print(done)").stdout == "[]\n"


def test_raw_sends_braces_unchanged(kernel: Kernel, server: Demo) -> None:
    assert asked(kernel, server, "{{ name }} {{ 1 / 0", "--raw") == "{{ name }} {{ 1 / 0"
    assert asked(kernel, server, "x", "--raw --param 'user=\"{{ n }}\"'") == "x"
    assert server.seen()[-1]["body"]["user"] == "{{ n }}"


def test_a_variable_without_spaces_gives_a_hint(kernel: Kernel) -> None:
    said = kernel.run("%%groq --max-tokens 1\n{{name}}, {{nobody}}, {{name}}").stdout
    assert said == (
        "{{name}} was sent unchanged. To send the value of name, write {{ name }} with spaces.\n"
    )
    assert kernel.run("%%groq --max-tokens 1 --raw\n{{name}}").stdout == ""


def test_values_in_flags(kernel: Kernel, server: Demo) -> None:
    kernel.run("temperature, told = 0.5, 'Be \"kind\" to $HOME {name}'")
    flags = "-m {{ 'a' + name }} -t {{ temperature }} -s '{{ told }}, {{ name }}' --stop {x}$y"
    kernel.run(f"%%groq {flags} --wait\ncat names")
    assert server.seen()[-1]["body"] == {
        "model": "aAda",
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": 'Be "kind" to $HOME {name}, Ada'},
            {"role": "user", "content": "cat names"},
        ],
        "stop": ["{x}$y"],
        "stream": True,
    }


def test_the_start_of_a_value_has_no_meaning_in_a_flag(kernel: Kernel, server: Demo) -> None:
    kernel.run("at, said = '@nowhere.txt', 'do not use --raw {{ n }}'")
    for flags, system in [
        ("-s {{ at }}", "@nowhere.txt"),
        ("-s {{ said }}", "do not use --raw {{ n }}"),
        ("-s 'do not use --raw {{ n }}'", "do not use --raw 7"),
        ("-s {{ df }}", CITIES),
    ]:
        kernel.run(f"%%groq {flags} --wait --max-tokens 1\nx")
        assert server.seen()[-1]["body"]["messages"][0]["content"] == system
    kernel.run("%%groq -s {{ ended }} --wait --max-tokens 1\nx")
    sent = server.seen()[-1]["body"]["messages"][0]["content"]
    assert kernel.run("print(ended.text, end='')").stdout == sent


ATTACKS = ["@secret.txt", "-s@secret.txt", "--system=@secret.txt", "--image=secret.txt", "--raw"]


@pytest.mark.parametrize("value", ATTACKS)
@pytest.mark.parametrize("flags", ["-s {{ x }}", "-s{{ x }}", "--system='{{ x }}'"])
def test_a_value_is_no_flag_and_no_file(
    kernel: Kernel, server: Demo, flags: str, value: str
) -> None:
    kernel.run(f"open('secret.txt', 'w').write('secret'); x = {value!r}")
    before = len(server.seen())
    for line in (flags, "-c {{ x }}", "-m {{ x }}", "--stop {{ x }}"):
        kernel.run(f"%%groq {line} --wait --max-tokens 1\nHi {{{{ n }}}}")
    system, chat, model, stop = (seen["body"] for seen in server.seen()[before:])
    prompt = {"role": "user", "content": "Hi 7"}
    assert system["messages"] == [{"role": "system", "content": value}, prompt]
    assert chat["messages"][-1] == prompt
    assert (model["model"], stop["stop"]) == (value, [value])


def test_a_file_is_read_only_if_the_at_sign_is_typed(kernel: Kernel, server: Demo) -> None:
    kernel.run("open('told.txt', 'w').write('Be {{ name }}.'); told = 'told'")
    for flags in ("-s @told.txt", "-s@told.txt", "--system=@{{ told }}.txt"):
        kernel.run(f"%%groq {flags} --wait --max-tokens 1\nx")
        assert server.seen()[-1]["body"]["messages"][0]["content"] == "Be {{ name }}."


def test_a_chats_name_from_a_value_is_no_variable(kernel: Kernel, server: Demo) -> None:
    kernel.run("from groq_magic import Conversation; mine = Conversation(system='Mine.')")
    kernel.run("%%groq -c {{ 'mine' }} --wait --max-tokens 1\nx")
    assert server.seen()[-1]["body"]["messages"] == [{"role": "user", "content": "x"}]
    kernel.run("%%groq -c mine --wait --max-tokens 1\nx")
    assert server.seen()[-1]["body"]["messages"][0]["content"] == "Mine."


def test_a_value_stays_within_the_quotes_of_a_parameter(kernel: Kernel, server: Demo) -> None:
    kernel.run('x, k, tools = \'a"], "b\', 40, \'[{"type": "browser_search"}]\'')
    line = "--param 'a=[\"{{ x }}\"]' --param top_k={{ k }} --param tools={{ tools }}"
    kernel.run(f"%%groq {line} --wait --max-tokens 1\nx")
    body = server.seen()[-1]["body"]
    assert (body["a"], body["top_k"]) == (['a"], "b'], 40)
    assert body["tools"] == [{"type": "browser_search"}]
    assert "is not a parameter" in kernel.run("%%groq --param {{ 'x=1' }}\nx").stdout


def test_a_large_table_says_what_was_cut(kernel: Kernel, server: Demo) -> None:
    sent = asked(kernel, server, "{{ long }}")
    *rows, blank, cut = sent.splitlines()
    assert blank == ""
    assert rows[-1] == f"| {len(rows) - 3} | {'0123456789' * 10} |"
    assert cut == f"(Cut: the first {len(rows) - 2} of 100,000 rows.)"
    assert 19_800 < len(sent) <= 20_100


def test_a_wide_table_says_what_was_cut(kernel: Kernel, server: Demo) -> None:
    sent = asked(kernel, server, "{{ wide }}")
    columns = sent.splitlines()[0].count("|") - 1
    assert sent.splitlines()[0].endswith(f"| column_{columns - 2} |")
    assert sent.endswith(f"(Cut: the first {columns} of 5,001 columns.)")


def test_error_is_the_last_traceback(kernel: Kernel, server: Demo) -> None:
    kernel.run("def half(x):\n    return x / 0\nhalf(1)")
    kernel.run("%%groq --nonsense\nHi")  # which is no error of the notebook's
    sent = asked(kernel, server, "Why?\n{{ error }}")
    assert sent.startswith("Why?\nTraceback (most recent call last):\n  File ")
    assert "    return x / 0" in sent
    assert sent.endswith("ZeroDivisionError: division by zero")
    assert "IPython" not in sent
    assert "\x1b" not in sent
    kernel.run("def f(:")
    assert "SyntaxError: " in asked(kernel, server, "{{ error }}")
    assert asked(kernel, server, "{{ [error for error in 'x'] }}") == "['x']"
    kernel.run("error = 0.25")
    assert asked(kernel, server, "{{ error }}") == "0.25"
    kernel.run("del error")


def test_an_answer_as_value_is_waited_for(kernel: Kernel, server: Demo) -> None:
    kernel.run("streaming = stream('cat names', model='demo/slow', max_completion_tokens=20)")
    sent = asked(kernel, server, "{{ streaming }}")
    assert kernel.run("print(streaming.text, end='')").stdout == sent
    assert len(sent) > 20
    kernel.run("stopped = stream('cat names', model='demo/slow'); stopped.stop()")
    text = kernel.run("print(stopped.text, end='')").stdout  # a word may have come by then
    assert asked(kernel, server, "[{{ stopped }}]") == f"[{text}]"


def parts_of(content: Any) -> tuple[str, list[bytes]]:
    text, *images = content
    urls = [image["image_url"]["url"] for image in images]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return text["text"], [base64.b64decode(url.partition(",")[2]) for url in urls]


@pytest.mark.parametrize("value", ["fig", "picture", "PIL.Image.open(png)", "halved"])
def test_a_value_that_displays_as_an_image_is_attached(
    kernel: Kernel, server: Demo, value: str
) -> None:
    kernel.run("import PIL.Image")
    prompt = f"See {{{{ {value} }}}} and {{{{ fig }}}}."
    text, images = parts_of(asked(kernel, server, prompt, "-m qwen/qwen3.8-27b"))
    assert text == "See [image 1] and [image 2]."
    assert [image[:8] for image in images] == [b"\x89PNG\r\n\x1a\n"] * 2


def test_images_of_flags_come_first(kernel: Kernel, server: Demo) -> None:
    kernel.run("open('a b.png', 'wb').write(png.getvalue()); bytes_ = png.getvalue()")
    flags = "-m other --image fig --image 'a b.png' --image bytes_"
    text, images = parts_of(asked(kernel, server, "See {{ fig }}.", flags))
    assert (text, len(images)) == ("See [image 4].", 4)
    assert images[1] == images[2]
    address = "https://example.org/cat.png"
    content = asked(kernel, server, "See", f"-m other --image {address}")
    assert content[1] == {"type": "image_url", "image_url": {"url": address}}


BAD_IMAGES = {
    "no file": ("--image a_b.png", "There is no file a_b.png. Similar names: a b.png"),
    "no image": ("--image name", "There is no file Ada."),
    "a number": ("--image n", "An image given as int cannot be displayed as PNG or JPEG."),
    "a text file": ("--image text.txt", "text.txt is not a PNG, JPEG, GIF or WebP image."),
    "a folder": ("--image .", "Cannot read .: Is a directory."),
    "a model that reads none": (
        "--image fig",
        "openai/gpt-oss-120b reads no images. Choose a model that does, such as -m qwen/qwen3.8-",
    ),
    "too many": (
        "-m other" + " --image fig" * 6,
        "6 images: other takes 5 in a request. Leave some out.",
    ),
    "too many for the model": (
        "-m qwen/qwen3.8-27b" + " --image fig" * 4,
        "4 images: qwen/qwen3.8-27b takes 3 in a request. Leave some out.",
    ),
    "too large": ("--image large.png", "large.png has 4.5 MB: the API takes 4 MB."),
    "too large together": (
        "--image half.png --image half.png",
        "The images have 5.3 MB as base64: the API takes 4 MB.",
    ),
    "none": ("--image", "expected one argument"),
    "nobody's": ("--image '~nobody-here/x.png'", "Cannot read '~nobody-here/x.png': "),
    "what fails to draw": ("--image badly", "given as Badly cannot be drawn: nothing to draw"),
    "an image in braces": (
        "--image {{ fig }}",
        "--image takes no {{ }}: give the name of a variable",
    ),
    "a path in braces": ("--image '{{ \"a b.png\" }}'", "--image takes no {{ }}"),
    "an image as text": ("-s {{ fig }}", "{{ fig }}: InputError: it is an image"),
}


@pytest.mark.parametrize(("flags", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_an_invalid_image_gives_one_line_and_sends_nothing(
    kernel: Kernel, server: Demo, flags: str, message: str
) -> None:
    kernel.run(
        "open('text.txt', 'w').write('text'); open('a b.png', 'wb').write(png.getvalue())\n"
        "open('large.png', 'wb').write(png.getvalue() + bytes(9 * 2**19))\n"
        "open('half.png', 'wb').write(png.getvalue() + bytes(2 * 2**20))"
    )
    before = len(server.seen())
    run = kernel.run(f"%%groq {flags}\nSee")
    assert message in run.stdout
    assert len(run.stdout.strip().splitlines()) == 1
    assert len(server.seen()) == before


@given(st.text().filter(lambda text: "{{" not in text))
def test_a_cell_without_double_braces_is_unchanged(text: str) -> None:
    assert interpolate(text, {}, str) == (text, [], {}, {})
