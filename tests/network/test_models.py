"""What a server says of its models, prices among it, and when it is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic import Conversation, Usage, stream
from groq_magic.api import fetch_models, models_soon
from groq_magic.display.static import static_bundle
from groq_magic.display.table import Table
from groq_magic.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    IncompleteStreamError,
    InputError,
)
from groq_magic.limits.cost import spent
from groq_magic.runtime import runtime
from groq_magic.usage import learn_models, rate_limits
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import KnownModels, Model, parse_models
from tests.support.demo import Demo
from tests.support.event_streams import RECORDED
from tests.support.peer import DONE, Connection, Script, delta, finish, peer
from tests.support.waiting import until

ENTRY = {
    "id": "m",
    "context_window": 131_072,
    "max_completion_tokens": 8_192,
    "owned_by": "Somebody",
    "output_modalities": ["text"],
    "pricing": {"prompt": "0.000001", "input_cache_read": "0.0000005", "completion": "0.000002"},
}
LISTED = json.dumps({"data": [ENTRY]}).encode()
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def model(**other: Any) -> Model:
    read = Model.from_wire({**ENTRY, **other})
    assert read is not None
    return read


def test_an_entry() -> None:
    assert model() == Model(
        "m",
        131_072,
        8_192,
        "Somebody",
        prompt_price=Decimal("0.000001"),
        completion_price=Decimal("0.000002"),
        cached_price=Decimal("0.0000005"),
    )


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded responses are not here")
def test_a_recorded_list() -> None:
    models = parse_models(json.loads((RECORDED / "models-list.body").read_text("utf-8")))
    by_name = {model.id: model for model in models}
    assert list(by_name) == sorted(by_name)
    default = by_name["openai/gpt-oss-120b"]
    assert (default.context_window, default.max_completion_tokens) == (131_072, 65_536)
    assert default.prompt_price == Decimal("0.00000015")
    assert default.completion_price == Decimal("0.0000006")
    assert not by_name["whisper-large-v3"].writes_text
    assert by_name["groq/compound"].prompt_price is None


@pytest.mark.parametrize(
    "other",
    [
        {"context_window": "131072", "max_completion_tokens": -1, "owned_by": ["x"]},
        {"context_window": True, "max_completion_tokens": 10**4000, "owned_by": "a\nb"},
        {"context_window": 1.5, "max_completion_tokens": {}, "owned_by": "\u202egnp"},
    ],
)
def test_strange_fields_are_as_if_not_given(other: dict[str, Any]) -> None:
    read = model(**other)
    assert (read.context_window, read.max_completion_tokens, read.owned_by) == (None, None, None)


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "-1", "1e999999", "free", "", "5", 0.1, None, [], "1" * 5000]
)
def test_strange_prices_are_as_if_not_given(price: Any) -> None:
    read = model(pricing={"prompt": price, "completion": price, "input_cache_read": price})
    assert (read.prompt_price, read.completion_price, read.cached_price) == (None, None, None)
    assert read.cost(Usage(prompt_tokens=1, completion_tokens=1)) is None


@pytest.mark.parametrize("name", [None, "", " ", 5, ["m"], "a\nb", "a\x1b[31m", "x" * 201])
def test_what_names_no_model_is_left_out(name: Any) -> None:
    assert parse_models({"data": [{**ENTRY, "id": name}, ENTRY]}) == [model()]


def test_a_model_that_is_switched_off_is_left_out() -> None:
    assert parse_models({"data": [{**ENTRY, "active": False}]}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*ENTRY, "data", "prompt", "completion"]), inner)
    ),
    max_leaves=20,
)


@given(st.fixed_dictionaries({"data": st.lists(JSON | st.fixed_dictionaries({"id": st.text()}))}))
def test_no_list_raises(wire: Any) -> None:
    for read in parse_models(wire):
        assert read.id
        read.cost(Usage(prompt_tokens=1, completion_tokens=1))


@given(JSON)
def test_nothing_else_raises_either(wire: Any) -> None:
    parse_models(wire)
    parse_models({"data": [{**ENTRY, "pricing": wire, "output_modalities": wire}]})


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(prompt_tokens=1000, completion_tokens=200), 0.0014),
        (Usage(prompt_tokens=1000, completion_tokens=200, cached_tokens=600), 0.0011),
        (Usage(prompt_tokens=10, completion_tokens=0, cached_tokens=600), 0.000005),
        (Usage(prompt_tokens=0, completion_tokens=0), 0.0),
        (Usage(prompt_tokens=1000), None),
        (Usage(prompt_tokens="10", completion_tokens=1), None),  # type: ignore[arg-type]
    ],
)
def test_the_price_of_an_answer(usage: Usage, cost: float | None) -> None:
    assert model().cost(usage) == cost


def test_cached_tokens_without_a_price_of_their_own_cost_what_others_do() -> None:
    without = model(pricing={"prompt": "0.000001", "completion": "0.000002"})
    assert without.cost(Usage(prompt_tokens=10, completion_tokens=0, cached_tokens=5)) == 0.00001


# When a server is asked for its models


def serving(models: Script, *, usage: Any = USAGE, after: threading.Event | None = None) -> Script:
    """An answer with that usage, its end ``after`` something; and models."""

    def play(connection: Connection) -> None:
        if connection.request.line.startswith("GET"):
            models(connection)
            return
        headers = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
        headers += "x-ratelimit-remaining-tokens: 7970\r\nx-ratelimit-limit-tokens: 8000\r\n\r\n"
        connection.send(headers.encode() + delta("Hi"))
        assert after is None or after.wait(30)
        connection.send(finish(usage=usage) + DONE)

    return play


def listed(body: bytes = LISTED, status: str = "200 OK") -> Script:
    return lambda connection: connection.respond(body, status, content_type="application/json")


def gets(server: Any) -> int:
    return sum(c.request.line.startswith("GET") for c in server.connections)


def learnt(base_url: str) -> None:
    """Wait until that server has been asked for its models."""
    learn_models(Client(), Endpoint(base_url)).wait(30)


def test_an_answer_has_a_price_where_its_model_has_one() -> None:
    asked = threading.Event()

    def models(connection: Connection) -> None:
        listed()(connection)
        asked.set()

    before = spent()
    with peer(serving(models, after=asked), models=True) as server:
        answer = stream("Hello", model="m", base_url=server.base_url)
        answer.wait(30)
        learnt(server.base_url)
        assert answer.cost == 0.0014
        html, metadata = static_bundle(answer)[0]["text/html"], static_bundle(answer)[1]
        assert "$0.0014</span>" in html
        assert metadata["groq"]["cost_usd"] == 0.0014
        for _ in range(2):
            stream("Hello", model="m", base_url=server.base_url).wait(30)
        assert gets(server) == 1
        # Before the answer's request nothing is asked.
        assert server.connections[0].request.line.startswith("POST")
    after = spent()
    assert after.priced - before.priced == 3
    assert after.usd - before.usd == pytest.approx(3 * 0.0014)


@pytest.mark.parametrize(
    "models",
    [
        listed(b"", "404 Not Found"),
        listed(b"<html>"),
        listed(b"[" * 100_000),
        listed(b'{"data": {"id": 5}}'),
        lambda connection: connection.socket.close(),
    ],
)
def test_a_server_without_models_is_asked_once_and_nothing_is_said(
    models: Script, caplog: pytest.LogCaptureFixture
) -> None:
    with peer(serving(models), models=True) as server:
        for _ in range(3):
            answer = stream("Hello", model="m", base_url=server.base_url)
            assert answer.result(30) == "Hi"
            learnt(server.base_url)
        assert gets(server) == 1
        assert models_soon(server.base_url) == []
        assert gets(server) == 1
    assert answer.cost is None
    assert "cost_usd" not in static_bundle(answer)[1]["groq"]
    assert caplog.records == []


def test_an_answer_does_not_wait_for_the_models() -> None:
    may_end = threading.Event()

    def silent(_connection: Connection) -> None:
        may_end.wait(30)

    with peer(serving(silent), models=True) as server:
        answer = stream("Hello", model="m", base_url=server.base_url)
        assert answer.result(30) == "Hi"
        assert answer.cost is None
        may_end.set()


def test_a_stopped_answer_has_no_price() -> None:
    forever = threading.Event()
    before = spent()
    with peer(serving(listed(), after=forever), models=True) as server:
        answer = stream("Hello", model="m", base_url=server.base_url)
        next(iter(answer))
        answer.stop()
        learnt(server.base_url)
        forever.set()
    assert answer.cost is None
    until(lambda: spent().bounded - before.bounded == 1)
    assert 0 < spent().more - before.more < 0.0014


def test_the_limits_of_the_last_response() -> None:
    with peer(serving(listed()), models=True) as server:
        stream("Hello", model="m", base_url=server.base_url).wait(30)
    assert rate_limits(Endpoint("http://127.0.0.1:1/openai/v1")) == []
    (known,) = rate_limits(Endpoint(server.base_url))
    assert (known.limits.remaining_tokens, known.limits.limit_tokens) == (7970, 8000)
    assert (known.model, known.day) == ("m", "")
    assert known.age >= 0


def test_limits_are_those_of_the_answer_that_was_asked_last() -> None:
    """Not of the one that ended last: its response is older."""
    may_end = threading.Event()

    def play(connection: Connection) -> None:
        is_first = connection is server.connections[0]
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
        left = b"x-ratelimit-remaining-tokens: %d\r\n\r\n" % (900 if is_first else 800)
        connection.send(head + left + delta("Hi"))
        assert not is_first or may_end.wait(30)
        connection.send(finish() + DONE)

    with peer(play) as server:
        first = stream("Hello", model="m", base_url=server.base_url)
        next(iter(first))
        stream("Hello", model="m", base_url=server.base_url).wait(30)
        may_end.set()
        first.wait(30)
        (known,) = rate_limits(Endpoint(server.base_url))
    assert known.limits.remaining_tokens == 800


def test_the_demo_answers_have_a_price(demo: Demo) -> None:
    fetch_models()
    answer = stream("cat names")
    answer.wait(30)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens is not None
    assert answer.usage.completion_tokens is not None
    asked, answered = answer.usage.prompt_tokens, answer.usage.completion_tokens
    assert answer.cost == pytest.approx(asked * 0.15e-6 + answered * 0.6e-6)


def test_asking_for_the_models(demo: Demo) -> None:
    models = fetch_models()
    assert [model.id for model in models] == sorted(model.id for model in models)
    assert models == models_soon()
    assert models == runtime.own(KnownModels).of(demo.base_url)


def test_what_goes_wrong_is_said() -> None:
    refused = json.dumps({"error": {"message": "Invalid API Key"}}).encode()
    unauthorized = listed(refused, "401 Unauthorized")
    wrong_key = pytest.raises(AuthenticationError, match="401 Invalid API Key")
    with peer(unauthorized, models=True) as server, wrong_key:
        fetch_models(server.base_url)
    with peer(listed(b"", "302 Found"), models=True) as server, pytest.raises(APIStatusError):
        fetch_models(server.base_url)


def test_a_list_that_is_packed_otherwise_than_asked_is_refused() -> None:
    def play(connection: Connection) -> None:
        connection.respond(LISTED, content_encoding="gzip, gzip")

    with (
        peer(play, models=True) as server,
        pytest.raises(IncompleteStreamError, match="compress"),
    ):
        fetch_models(server.base_url)


def test_a_server_that_drips_is_given_up() -> None:
    def drip(connection: Connection) -> None:
        connection.begin()
        while not connection.closed.wait(0.01):
            connection.chunk(b" ")

    async def ask(client: Client, base_url: str) -> None:
        await client.models(Endpoint(base_url), within=0.2)

    with peer(drip, models=True) as server:
        asked = runtime.loop.job(partial(ask, Client(), server.base_url)).start()
        assert asked.wait(30)
    assert "did not list its models in 0.2 s" in str(asked.error)


def test_a_list_without_end_is_read_only_in_part() -> None:
    sent = 0

    def play(connection: Connection) -> None:
        nonlocal sent
        connection.begin()
        while True:
            connection.chunk(b" " * 2**16)
            sent += 2**16

    with peer(play, models=True) as server:
        assert fetch_models(server.base_url) == []
        assert server.connection().request.headers["accept-encoding"] == "identity"
        assert server.connection().closed.wait(30)
    assert sent >= 2 * 2**20


def test_a_list_that_breaks_off_is_none() -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(LISTED)

    with peer(play, models=True) as server:
        with pytest.raises(APIConnectionError):
            fetch_models(server.base_url)
        assert runtime.own(KnownModels).of(server.base_url) == []


def test_the_key_is_not_among_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "gsk_0123456789ab"

    async def ask(base_url: str) -> list[Model]:
        return await Client().models(Endpoint(base_url, key))

    with peer(listed(json.dumps({"data": [{"id": key}]}).encode()), models=True) as server:
        (read,) = asyncio.run(ask(server.base_url))
        assert server.connections[0].request.headers["authorization"] == f"Bearer {key}"
    assert read.id == "[API key]"


# The table


def test_a_table_is_html_and_text() -> None:
    table = Table([("a", "1,000"), ("long name", "5")], ("Name", "Size"), frozenset({1}), "So.")
    made = table.bundle()
    assert made["text/plain"] == "Name        Size\na          1,000\nlong name      5\nSo."
    assert made["text/html"].count("<tr") == 3
    assert made["text/html"].count("text-align:right") == 3


def test_nothing_a_server_says_becomes_markup() -> None:
    hostile = "<img src=x onerror=canary()> | `[x](javascript:canary()) $a$ &lt;"
    made = Table([("Model", hostile)], note=hostile).bundle()
    assert set(made) == {"text/html", "text/plain"}
    assert made["text/html"].count("&lt;img src=x onerror=canary()&gt;") == 2
    assert "<img" not in made["text/html"]


@pytest.mark.parametrize(
    ("inputs", "reads"),
    [(["text", "image"], True), (["text"], False), ("image", None), (None, None)],
)
def test_whether_a_model_reads_images(inputs: object, reads: object) -> None:
    read = Model.from_wire({"id": "m", "input_modalities": inputs})
    assert read
    assert read.reads_images is reads


def test_an_image_for_a_model_that_reads_none_is_not_sent() -> None:
    listed = {"data": [{"id": "m", "input_modalities": ["text"]}, {"id": "unknown"}]}

    def play(connection: Connection) -> None:
        body = listed if "/models" in connection.request.line else {}
        connection.respond(json.dumps(body).encode(), content_type="application/json")

    with peer(play, models=True) as server:
        with pytest.raises(InputError, match=r"^m reads no images\. Choose a model that does\.$"):
            stream("See", model="m", images=[b"GIF89a"], base_url=server.base_url)
        assert [connection.request.line.split()[0] for connection in server.connections] == ["GET"]
        assert stream("See", model="m", base_url=server.base_url).wait(30)
        answer = stream("See", model="unknown", images=[b"GIF89a"], base_url=server.base_url)
        assert answer.wait(30)
        assert len(server.connections) == 3


def test_an_image_of_an_earlier_turn_is_not_sent_to_a_model_that_reads_none(demo: Demo) -> None:
    chat = Conversation()
    fetch_models(demo.base_url)
    for model, images in (("qwen/qwen3.8-27b", [b"GIF89a"]), ("openai/gpt-oss-20b", [])):
        answer = stream("cat names", model=model, images=images, chat=chat, base_url=demo.base_url)
        assert answer.wait(30)
    assert answer.state == "failed"
    assert str(answer.error).startswith("openai/gpt-oss-20b reads no images. Choose a model that")
    assert demo.seen()[-1]["body"]["model"] == "qwen/qwen3.8-27b"
