"""Flags: what each puts on the wire, and what it says to a bad value; in a real kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo import Demo
from tests.support.kernels import Kernel, running_kernel

TOKENS_PER_SECOND = 5000
ASKED = [{"role": "user", "content": "cat names"}]
DEFAULT: dict[str, Any] = {
    "model": "openai/gpt-oss-120b",
    "messages": ASKED,
    "stream": True,
}


SEARCH, PYTHON = {"type": "browser_search"}, {"type": "code_interpreter"}
JSON = {"response_format": {"type": "json_object"}}


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    (home / "told.txt").write_text("Be brief.", "utf-8")
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(home)}
    environment.pop("GROQ_API_KEY", None)
    with running_kernel(environment, str(home)) as kernel:
        kernel.run("%reload_ext groq_magic")
        yield kernel


def system(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}, *ASKED]}


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("", {}),
        ("-m demo/slow --max-tokens 2", {"model": "demo/slow", "max_completion_tokens": 2}),
        ("--model other", {"model": "other"}),
        ("-s 'Be kind.'", system("Be kind.")),
        ("--system @told.txt", system("Be brief.")),
        ("-t 0.5", {"temperature": 0.5}),
        ("--temperature 2", {"temperature": 2.0}),
        ("--top-p 0.9", {"top_p": 0.9}),
        ("--max-tokens 7", {"max_completion_tokens": 7}),
        ("--seed 42", {"seed": 42}),
        ("--stop END", {"stop": ["END"]}),
        ("--stop a --stop 'b c'", {"stop": ["a", "b c"]}),
        ("--reasoning-effort low", {"reasoning_effort": "low"}),
        ("--reasoning-format parsed", {"reasoning_format": "parsed"}),
        ("--service-tier flex", {"service_tier": "flex"}),
        ("--param top_k=40 --param 'user=\"me\"'", {"top_k": 40, "user": "me"}),
        ("--param include_reasoning=false", {"include_reasoning": False}),
        ('--param user="me" --param response_format={"type":"json_object"}', JSON | {"user": "me"}),
        ('--param response_format={"type": "json_object"} -t 1', JSON | {"temperature": 1.0}),
        ('--param response_format=\'{"type": "json_object"}\'', JSON),
        ('--param metadata={"a":"--param b={}"}', {"metadata": {"a": "--param b={}"}}),
        ("""-s '--param a={"b": 1} c'""", system('--param a={"b": 1} c')),
        ("--search", {"tools": [SEARCH]}),
        ("--python --search -m demo/python", {"tools": [SEARCH, PYTHON], "model": "demo/python"}),
        ('--python --param tools=[{"type":"x"}]', {"tools": [{"type": "x"}, PYTHON]}),
        ("--wait", {}),
        ("--no-wait", {}),
        ("-o kept", {}),
    ],
)
def test_each_flag_sends_its_parameter(
    kernel: Kernel, server: Demo, flags: str, sent: dict[str, Any]
) -> None:
    before = len(server.seen())
    run = kernel.run(f"%%groq {flags}\ncat names")
    assert run.error == ""
    server.until("done", before)
    assert server.seen()[before]["body"] == DEFAULT | sent


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-m", "expected one argument"),
        ("-m ''", "model must be a name"),
        ("-s @nowhere.txt", "cannot read nowhere.txt"),
        ("-t warm", "temperature must be a number from 0 to 2, not 'warm'."),
        ("-t nan", "temperature must be a number from 0 to 2, not nan."),
        ("--top-p 1.5", "top_p must be a number from 0 to 1, not 1.5."),
        ("--max-tokens 1.5", "max_completion_tokens must be a whole number from 1, not '1.5'."),
        ("--seed x", "seed must be a whole number, not 'x'."),
        ("--stop ''", "stop must be a text or up to four"),
        ("--stop a --stop b --stop c --stop d --stop e", "stop must be a text or up to four"),
        ("--param top_k", "'top_k' is not KEY=JSON"),
        ("--param user=me", "'user=me' is not KEY=JSON, as in top_k=40 or user=\"me\"."),
        ('--param a={"b"', "'a={b' is not KEY=JSON"),
        ("--param response_format=5", "response_format must be a pydantic class or JSON such as"),
        ("--param stream=false", "stream is no parameter"),
        ("--param messages=[]", "messages is no parameter"),
        ("--param 'base_url=\"http://x\"'", "base_url is not a parameter of the API"),
        ("--param 'out=\"1 x\"'", "out is not a parameter of the API"),
        ("--param timeout=[1]", "timeout is not a parameter of the API"),
        ("--param =5", " is not a parameter of the API"),
        ("-s '@~nobody-here/x'", "cannot read ~nobody-here/x"),
        ("--param top_k=NaN", "top_k must be JSON, not nan."),
        ("--search -m groq/compound", "with groq/compound: leave it out: compound models search"),
        ("--python -m other", "--python works with gpt-oss models, not with other: choose one, as"),
        ("--python --param tools=5", "tools must be a list, not 5."),
        ("--wait=yes", "ignored explicit argument 'yes'"),
    ],
)
def test_an_invalid_value_gives_one_line_and_sends_nothing(
    kernel: Kernel, server: Demo, flags: str, message: str
) -> None:
    before = len(server.seen())
    run = kernel.run(f"%%groq {flags}\ncat names")
    assert message in run.stdout
    assert run.stdout.startswith("UsageError: ")
    assert len(run.stdout.strip().splitlines()) == 1
    assert len(server.seen()) == before


def test_stream_sends_the_same_parameters(kernel: Kernel, server: Demo) -> None:
    kernel.run(
        "from groq_magic import stream\n"
        "stream('cat names', top_p=0.1, seed=1, stop='.', reasoning_effort='high',\n"
        "       reasoning_format='hidden', service_tier='auto', top_k=3).wait()"
    )
    assert server.seen()[-1]["body"] == DEFAULT | {
        "top_p": 0.1,
        "seed": 1,
        "stop": ".",
        "reasoning_effort": "high",
        "reasoning_format": "hidden",
        "service_tier": "auto",
        "top_k": 3,
    }


def test_a_parameter_that_is_not_json_is_refused(kernel: Kernel, server: Demo) -> None:
    before = len(server.seen())
    run = kernel.run("stream('cat names', tools=[print])")
    assert run.error.startswith("InputError: tools must be JSON, not [<built-in function print>].")
    assert len(server.seen()) == before


CONFIGURED = (
    "model",
    "system",
    "temperature",
    "top_p",
    "max_completion_tokens",
    "reasoning_effort",
    "base_url",
    "timeout",
    "max_retries",
    "wait",
)


@pytest.fixture
def configured(kernel: Kernel) -> Iterator[Kernel]:
    """The kernel, whose configuration is left as it was."""
    yield kernel
    for name in CONFIGURED:
        kernel.run(f"%config GroqMagic.{name} = None")


@pytest.mark.parametrize(
    ("trait", "value", "sent", "flag"),
    [
        ("model", "'other'", {"model": "other"}, "-m openai/gpt-oss-120b"),
        ("system", "'Be kind.'", system("Be kind."), "-s ''"),
        ("temperature", "0.5", {"temperature": 0.5}, "-t 1"),
        ("top_p", "0.5", {"top_p": 0.5}, "--top-p 1"),
        ("max_completion_tokens", "3", {"max_completion_tokens": 3}, "--max-tokens 5"),
        ("reasoning_effort", "'low'", {"reasoning_effort": "low"}, "--reasoning-effort high"),
    ],
)
def test_a_flag_overrides_the_configured_value(
    configured: Kernel, server: Demo, trait: str, value: str, sent: dict[str, Any], flag: str
) -> None:
    configured.run(f"%config GroqMagic.{trait} = {value}")
    configured.run("%%groq --wait\ncat names")
    assert server.seen()[-1]["body"] == DEFAULT | sent
    configured.run(f"%%groq --wait {flag}\ncat names")
    assert server.seen()[-1]["body"] != DEFAULT | sent


def test_a_cell_waits_if_that_is_configured(configured: Kernel, server: Demo) -> None:
    configured.run("%config GroqMagic.wait = True")
    configured.run("%%groq --max-tokens 500 -m demo/long\ncat names")
    assert server.seen()[-1]["state"] == "done"
    configured.run("%%groq --no-wait -m demo/slow -o slow\ncat names")
    server.until("streaming")
    configured.run("slow.stop()")


def test_the_server_and_the_retries_are_configured(configured: Kernel, server: Demo) -> None:
    before = len(server.seen())
    configured.run("%config GroqMagic.max_retries = 0")
    configured.run("%%groq -m demo/rate-limit -o refused\ncat names")
    assert configured.run("refused.wait(); print(refused.state)").stdout == "failed\n"
    assert len(server.seen()) == before + 1
    configured.run("%config GroqMagic.base_url = 'http://localhost:1'")
    configured.run("%%groq -o nowhere\ncat names")
    said = configured.run("nowhere.wait(); print(nowhere.error)").stdout
    assert "Could not reach localhost" in said
    assert len(server.seen()) == before + 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("temperature = 7", "temperature must be a number from 0 to 2, not 7.0."),
        ("timeout = 0", "timeout must be a number of seconds above 0"),
        ("max_retries = -1", "max_retries must be a whole number from 0"),
        ("base_url = 'ftp://x'", "must begin with https://"),
    ],
)
def test_an_invalid_setting_gives_one_line_and_sends_nothing(
    configured: Kernel, server: Demo, setting: str, message: str
) -> None:
    before = len(server.seen())
    configured.run(f"%config GroqMagic.{setting}")
    assert message in configured.run("%%groq --wait\ncat names").stdout
    assert len(server.seen()) == before


def test_config_lists_the_settings_and_no_key(kernel: Kernel) -> None:
    listed = kernel.run("%config GroqMagic").stdout
    assert "GroqMagic.model=" in listed
    assert "key" not in listed.lower().replace("keyboard", "")


def test_a_profile_sets_defaults(server: Demo, tmp_path: Path) -> None:
    (tmp_path / "profile_default").mkdir()
    settings = tmp_path / "profile_default" / "ipython_config.py"
    settings.write_text("c.GroqMagic.model = 'from-the-profile'", "utf-8")
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(tmp_path)}
    with running_kernel(environment, str(tmp_path)) as kernel:
        kernel.run("%%groq --wait\ncat names")
    assert server.seen()[-1]["body"] == DEFAULT | {"model": "from-the-profile"}
