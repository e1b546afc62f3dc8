"""The streams of other libraries in `show()`: ``python -m tests.bench.libraries``.

Each library that is installed asks a server on this machine, in its synchronous and in its
asynchronous way. For each: whether the text is the same, byte by byte, what else arrived, and how
long after a Stop the server saw the connection close, which sent nothing for two seconds
meanwhile. Install the libraries beside groq_magic in an environment of their own:

    pip install -e . openai groq anthropic langchain-openai langchain-anthropic chatlas litellm

``--record FOLDER`` writes the items of each stream as JSON; those in ``tests/data/chunks`` come
from it.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

from groq_magic import Answer, show
from groq_magic.streams.show import answer_of

TEXT = "# Café 😀\n\n| a | b |\n|---|---|\n| `1` | **2** |\n\nAnd $x_1$, «日本語», a\ttab.\n"
PIECES = [TEXT[n : n + 3] for n in range(0, len(TEXT), 3)]
THOUGHT = "Let me think."
CALL = {"id": "call_1", "name": "weather"}
ARGUMENTS = ['{"city": ', '"Paris"}']
SLOW = "slow"
"""The model that is silent for two seconds after each piece of text."""
PLAIN = "plain"
"""The model that calls no function: chatlas would answer it and ask again."""


def completions(model: str) -> Iterator[dict[str, Any] | None]:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return head | {"choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    yield chunk({"reasoning_content": THOUGHT})
    for piece in PIECES:
        yield chunk({"content": piece})
        if model == SLOW:
            yield None
    if model == PLAIN:
        yield chunk({}, "stop")
        return
    function = {"name": CALL["name"], "arguments": ""}
    call = {"index": 0, "id": CALL["id"], "type": "function", "function": function}
    yield chunk({"tool_calls": [call]})
    for part in ARGUMENTS:
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    yield chunk({}, "tool_calls")
    usage = {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33}
    yield head | {"choices": [], "usage": usage}


def messages(model: str) -> Iterator[dict[str, Any] | None]:
    usage = {"input_tokens": 11, "output_tokens": 1}
    made = {"id": "m1", "type": "message", "role": "assistant", "content": [], "model": model}
    yield {"type": "message_start", "message": made | {"stop_reason": None, "usage": usage}}
    thought = {"type": "thinking_delta", "thinking": THOUGHT}
    yield from block(0, {"type": "thinking", "thinking": "", "signature": ""}, [thought])
    texts = [{"type": "text_delta", "text": piece} for piece in PIECES]
    for event in block(1, {"type": "text", "text": ""}, texts):
        yield event
        if model == SLOW and event["type"] == "content_block_delta":
            yield None
    parts = [{"type": "input_json_delta", "partial_json": part} for part in ARGUMENTS]
    yield from block(2, {"type": "tool_use", **CALL, "input": {}}, parts)
    end = {"stop_reason": "tool_use", "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 22}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def block(n: int, begun: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": n, "content_block": begun}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": n, "delta": delta}
    yield {"type": "content_block_stop", "index": n}


def responses(model: str) -> Iterator[dict[str, Any] | None]:
    response = {"id": "r1", "object": "response", "created_at": 1, "model": model, "output": []}
    response |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    yield {"type": "response.created", "response": response | {"status": "in_progress"}}
    at = {"item_id": "i1", "output_index": 0}
    thought = {"summary_index": 0, "delta": THOUGHT}
    yield {"type": "response.reasoning_summary_text.delta", **at, **thought}
    for piece in PIECES:
        text = {"content_index": 0, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.delta", **at, "output_index": 1, **text}
        if model == SLOW:
            yield None
    item = {"type": "function_call", "call_id": CALL["id"], "name": CALL["name"], "arguments": ""}
    yield {"type": "response.output_item.added", "output_index": 2, "item": item}
    for part in ARGUMENTS:
        kind = "response.function_call_arguments.delta"
        yield {"type": kind, "item_id": "i3", "output_index": 2, "delta": part}
    usage: dict[str, Any] = {"input_tokens": 11, "output_tokens": 22, "total_tokens": 33}
    usage |= {"input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 5}}
    done = {"status": "completed", "usage": usage}
    yield {"type": "response.completed", "response": response | done}


STREAMS = {"completions": completions, "messages": messages, "responses": responses}


class Server(ThreadingHTTPServer):
    """Speaks Chat Completions, Anthropic's Messages and OpenAI's Responses."""

    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.closed = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.play(asked)

    def play(self, asked: dict[str, Any]) -> None:
        kind = self.path.rpartition("/")[2]
        for event in STREAMS[kind](asked["model"].rpartition("/")[2]):
            if event is None:
                if self._is_closed(2):
                    return
                continue
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n" if kind == "completions" else b"")

    def _is_closed(self, seconds: float) -> bool:
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(1024):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        self.server.closed.set()
        return True

    def log_message(self, *_: object) -> None:
        pass


# ---- The libraries: a stream, or one that can be awaited ----

ASK: Any = [{"role": "user", "content": "Hi"}]
Ask = Callable[[str, str], Any]
"""From the server's URL and the model to the stream."""


def made(package: str, name: str, **given: Any) -> Any:
    """An object of a library that may not be installed."""
    return getattr(import_module(package), name)(api_key="k", **given)


def completions_of(package: str, client: str, path: str = "/v1") -> Ask:
    def ask(url: str, model: str) -> Any:
        chat = made(package, client, base_url=url + path).chat
        return chat.completions.create(model=model, messages=ASK, stream=True)

    return ask


def messages_of(client: str) -> Ask:
    def ask(url: str, model: str) -> Any:
        messages = made("anthropic", client, base_url=url).messages
        return messages.create(model=model, messages=ASK, max_tokens=99, stream=True)

    return ask


def helper_of_anthropic(url: str, model: str) -> Any:
    messages = made("anthropic", "Anthropic", base_url=url).messages
    return messages.stream(model=model, messages=ASK, max_tokens=99).__enter__()


def responses_of_openai(url: str, model: str) -> Any:
    client = made("openai", "OpenAI", base_url=f"{url}/v1")
    return client.responses.create(model=model, input="Hi", stream=True)


def langchain(url: str, model: str) -> Any:
    given = {"model": model, "base_url": f"{url}/v1", "stream_usage": True}
    return made("langchain_openai", "ChatOpenAI", **given)


def chatlas(url: str, model: str) -> Any:
    model = SLOW if model == SLOW else PLAIN
    return made("chatlas", "ChatOpenAICompletions", model=model, base_url=f"{url}/v1")


def litellm(name: str, provider: str, path: str = "") -> Ask:
    def ask(url: str, model: str) -> Any:
        complete = getattr(import_module("litellm"), name)
        given = {"stream": True, "stream_options": {"include_usage": True}, "api_key": "k"}
        return complete(f"{provider}/{model}", ASK, base_url=url + path, **given)

    return ask


def langchain_anthropic(url: str, model: str) -> Any:
    return made("langchain_anthropic", "ChatAnthropic", model=model, base_url=url).stream("Hi")


WAYS: dict[str, tuple[str, Ask]] = {
    "openai": ("openai", completions_of("openai", "OpenAI")),
    "openai, async": ("openai", completions_of("openai", "AsyncOpenAI")),
    "openai, responses": ("openai", responses_of_openai),
    "groq": ("groq", completions_of("groq", "Groq", "")),
    "groq, async": ("groq", completions_of("groq", "AsyncGroq", "")),
    "anthropic": ("anthropic", messages_of("Anthropic")),
    "anthropic, messages.stream": ("anthropic", helper_of_anthropic),
    "anthropic, async": ("anthropic", messages_of("AsyncAnthropic")),
    "langchain-openai": ("langchain-openai", lambda *to: langchain(*to).stream("Hi")),
    "langchain-openai, async": ("langchain-openai", lambda *to: langchain(*to).astream("Hi")),
    "langchain-anthropic": ("langchain-anthropic", langchain_anthropic),
    "chatlas": ("chatlas", lambda *to: chatlas(*to).stream("Hi")),
    "chatlas, content=all": ("chatlas", lambda *to: chatlas(*to).stream("Hi", content="all")),
    "chatlas, async": ("chatlas", lambda *to: chatlas(*to).stream_async("Hi")),
    "litellm": ("litellm", litellm("completion", "openai", "/v1")),
    "litellm, async": ("litellm", litellm("acompletion", "openai", "/v1")),
    "litellm, anthropic": ("litellm", litellm("completion", "anthropic")),
}


async def opened(ask: Ask, url: str, model: str) -> Any:
    stream = ask(url, model)
    return await stream if inspect.iscoroutine(stream) else stream


async def whole(ask: Ask, url: str) -> Answer:
    answer = show(await opened(ask, url, "model"))
    if answer.needs_this_loop:
        await asyncio.wait_for(answer, 30)
    answer.wait(30)
    return answer


async def seconds_to_close(ask: Ask, server: Server) -> float:
    """From a Stop until the server sees the connection closed; the source waits meanwhile."""
    server.closed.clear()
    answer = show_quietly(await opened(ask, server.url, SLOW))
    for _ in range(500):
        if answer.text or answer.ended:
            break
        await asyncio.sleep(0.01)
    begun = time.perf_counter()
    answer.stop()
    await asyncio.to_thread(server.closed.wait, 10)
    return time.perf_counter() - begun


def show_quietly(source: Any) -> Answer:
    """As `show` in a notebook, which does not wait."""
    return answer_of(source).start()


def as_json(item: Any) -> Any:
    if isinstance(item, str):
        return item
    return json.loads(item.model_dump_json(exclude_unset=False))


async def items(ask: Ask, url: str) -> list[Any]:
    stream = await opened(ask, url, "model")
    if hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__"):
        return [as_json(item) async for item in stream]
    return [as_json(item) for item in stream]


def name_of(way: str) -> str:
    return way.replace(", ", "-").replace("=", "-").replace(".", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, metavar="FOLDER")
    parser.add_argument("--only", default="", help="only ways with this in their name")
    given = parser.parse_args()
    os.environ.setdefault("NO_PROXY", "*")
    logging.disable()
    server = Server(Handler)
    print(f"{'':28}{'version':>9}  text  reasoning  calls  usage    end         closed after")
    for way, (package, ask) in WAYS.items():
        if given.only not in way:
            continue
        try:
            installed = version(package)
        except PackageNotFoundError:
            print(f"{way:28} not installed")
            continue
        print(f"{way:28}{installed:>9}  {row(ask, server)}", flush=True)
        if given.record and "async" not in way:
            lines = (json.dumps(i, ensure_ascii=False) for i in asyncio.run(items(ask, server.url)))
            path = given.record / f"{name_of(way)}.json"
            path.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


def row(ask: Ask, server: Server) -> str:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        answer = asyncio.run(whole(ask, server.url))
        seconds = asyncio.run(seconds_to_close(ask, server))
    if answer.error is not None:
        return str(answer.error)
    calls = [(call.name, call.parse()) for call in answer.tool_calls.values()]
    usage = answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    same = {True: "same", False: "DIFFERS"}[answer.text == TEXT]
    thought = "yes" if answer.reasoning == THOUGHT else "-"
    called = "yes" if calls == [("weather", {"city": "Paris"})] else "-"
    end = answer.finish_reason or answer.state
    closed = f"{seconds * 1000:.0f} ms" if seconds < 1 else "with the next item"
    closed = "not in 10 s" if seconds >= 10 else closed
    return f"{same:6}{thought:11}{called:7}{usage or '-'!s:9}{end:12}{closed}"


if __name__ == "__main__":
    main()
