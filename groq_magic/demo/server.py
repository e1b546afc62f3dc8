"""A local server that speaks Groq's protocol, to try without a key and for tests.

    python -m groq_magic.demo --port 0 --tokens-per-second 500

It prints its base URL and serves until it is interrupted. The URL's path holds a secret, so
that no other user of this machine and no web page can use the server. The words of a prompt
choose an answer from ``answers.md``. Any model name works; these behave differently:

    demo/slow               20 tokens per second
    demo/long               8,000 tokens, or ``max_completion_tokens``: the answer again and
                            again, or all answers if no word fits; ends with "The end."
    demo/reasoning          reasoning first
    demo/rate-limit         429 at first, an answer to the second attempt
    demo/error-401          an invalid key
    demo/mid-stream-error   an error after 40 tokens
    demo/cut-off            the connection breaks after 40 tokens
    demo/search             a web search, and an answer that cites its pages
    demo/python             a run of Python with output and a picture
    demo/tools              two tool calls; after their results, an answer
    demo/json               a JSON object
    demo/filter             an answer that the server's filter ends

The last five are played from ``streams.json``. A request with ``"stream": false`` gets the
whole answer at its end. After an assistant's message at the end of the request comes the rest
of its answer; if a user's message asks to go on, its last line comes again.

With ``--keep-requests``, ``/demo/requests`` in place of ``/openai/v1`` lists the requests:
``body``, ``tokens`` sent, ``state`` ("streaming", "done", or "closed" by the client), and
``began_at`` and ``ended_at`` in seconds since 1970.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from groq_magic.resuming import GO_ON

_LIKE_A_MODEL: dict[str, Any] = {
    "object": "model",
    "created": 0,
    "active": True,
    "context_window": 131_072,
    "max_completion_tokens": 65_536,
    "input_modalities": ["text"],
    "output_modalities": ["text"],
}


def _priced(prompt: str, cached: str, completion: str) -> dict[str, Any]:
    """A model with prices in USD per token."""
    pricing = {"prompt": prompt, "input_cache_read": cached, "completion": completion}
    return _LIKE_A_MODEL | {"pricing": pricing}


# The first three have Groq's values of October 2026.
MODELS: dict[str, dict[str, Any]] = {
    "openai/gpt-oss-120b": _priced("0.00000015", "0.000000075", "0.0000006"),
    "openai/gpt-oss-20b": _priced("0.000000075", "0.0000000375", "0.0000003"),
    "qwen/qwen3.8-27b": _priced("0.0000008", "0.0000004", "0.000004")
    | {"max_completion_tokens": 16_384, "input_modalities": ["text", "image"]},
    "demo/slow": _priced("0.000001", "0.0000005", "0.000002"),
    "demo/long": _priced("0.00000005", "0.000000025", "0.00000008"),
    "demo/reasoning": _priced("0.0000006", "0.0000003", "0.000003"),
    "demo/rate-limit": _LIKE_A_MODEL,
    "demo/error-401": _LIKE_A_MODEL,
    "demo/mid-stream-error": _LIKE_A_MODEL,
    "demo/cut-off": _LIKE_A_MODEL,
    "demo/search": _LIKE_A_MODEL,
    "demo/python": _LIKE_A_MODEL,
    "demo/tools": _LIKE_A_MODEL,
    "demo/json": _LIKE_A_MODEL,
    "demo/filter": _LIKE_A_MODEL,
    "demo/speech": {"output_modalities": ["speech"], "context_window": 4_000},
}
_REQUESTS_A_DAY = 14_400
_TICK_SECONDS = 0.005
_FAULT_AFTER = 40
_LARGEST_BODY = 2**25
_PATH = "/groq-demo-"  # `Endpoint` sends no key to this path
_NEEDED = (
    *("PATH", "HOME", "USERPROFILE", "APPDATA", "SYSTEMROOT", "TEMP", "TMP", "LANG", "LC_ALL"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONDONTWRITEBYTECODE"),
)
"""The variables that Python needs; the server inherits no others, and so no key."""
_RETRY_AFTER = 2
_THOUGHT = (
    "The demo server has nothing to think about, but a thought looks like this: "
    "what is asked, what is known, which of the prepared answers fits best. Take that one."
)


class Started(NamedTuple):
    """A server for this process; it ends when its standard input does."""

    process: subprocess.Popen[str]
    base_url: str


class _Demo:
    """The server of this process."""

    started: Started | None = None


def start(tokens_per_second: float = 200.0) -> str:
    """Start this process's server unless it runs; return its base URL."""
    from groq_magic.runtime import runtime  # not above, since the server runs without it

    demo = runtime.own(_Demo)
    if demo.started is None or demo.started.process.poll() is not None:
        demo.started = _start(tokens_per_second)
    return demo.started.base_url


def _start(tokens_per_second: float) -> Started:
    command = [sys.executable, "-P", __file__, "--port", "0", "--with-parent"]
    command += ["--tokens-per-second", str(tokens_per_second)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ},
        start_new_session=True,  # so that an interrupt of the kernel does not reach it
    )
    atexit.register(process.terminate)
    assert process.stdout is not None
    if not (url := process.stdout.readline().strip()):
        raise RuntimeError("The demo server does not start.")
    return Started(process, url)


class Guarded(RequestHandler):
    """Refuses requests of web pages, which have an Origin or another Host."""

    def prepare(self) -> None:
        if self.request.host not in self.settings["hosts"] or "Origin" in self.request.headers:
            self.set_status(403)
            self.finish()


class Models(Guarded):
    """``GET /openai/v1/models``."""

    def get(self) -> None:
        models = [{"id": name, "owned_by": _owner(name), **says} for name, says in MODELS.items()]
        self.write({"object": "list", "data": models})


def _owner(name: str) -> str:
    return {"openai": "OpenAI", "qwen": "Alibaba Cloud"}.get(name.partition("/")[0], "Demo")


class Requests(Guarded):
    """``GET /demo/requests``, with ``--keep-requests``."""

    def get(self) -> None:
        self.write({"requests": self.settings["seen"]})


class ChatCompletions(Guarded):
    """``POST /openai/v1/chat/completions``."""

    def prepare(self) -> None:
        super().prepare()
        self.seen: dict[str, Any] = {"body": None, "tokens": 0, "state": "streaming"}
        if self._finished:
            return
        self.number = next(self.settings["numbers"])
        if self.settings["keep_requests"]:
            self.settings["seen"].append(self.seen)

    async def post(self) -> None:
        body = self.seen["body"] = json.loads(self.request.body)
        self._say_limits()
        model = body["model"]
        if model == "demo/error-401":
            self._refuse(401, "Invalid API Key", "invalid_api_key")
            return
        if model == "demo/rate-limit" and self._is_first_try():
            self.set_header("retry-after", str(_RETRY_AFTER))
            self._refuse(429, "Rate limit reached: demo/rate-limit", "rate_limit_exceeded")
            return
        try:
            await (self._stream if body.get("stream") else self._send_whole)(model, body)
            self._over("done")
        except StreamClosedError:
            self._over("closed")

    def on_connection_close(self) -> None:
        self._over("closed")

    def _over(self, state: str) -> None:
        self.seen |= {"state": state, "ended_at": self.seen.get("ended_at", time.time())}

    def _say_limits(self) -> None:
        left = _REQUESTS_A_DAY - self.number - 1
        self.set_header("x-ratelimit-limit-requests", str(_REQUESTS_A_DAY))
        self.set_header("x-ratelimit-remaining-requests", str(left))
        self.set_header("x-ratelimit-reset-requests", f"{6 * (_REQUESTS_A_DAY - left)}s")

    def _is_first_try(self) -> bool:
        self.settings["refused"] ^= {hash(self.request.body)}
        return hash(self.request.body) in self.settings["refused"]

    def _refuse(self, status: int, message: str, code: str) -> None:
        self._over("done")
        self.set_status(status)
        error = {"message": message, "type": "invalid_request_error", "code": code}
        self.finish({"error": error})

    async def _stream(self, model: str, body: dict[str, Any]) -> None:
        self.set_header("content-type", "text/event-stream")
        self.set_header("cache-control", "no-cache")
        self.set_header("x-request-id", self._id)
        head = {"delta": {"role": "assistant", "content": ""}}
        await self._send([_event(self._chunk(head, x_groq={"id": self._id}))])
        tokens, finish_reason = _tokens_of(model, body)
        rate = 20.0 if model == "demo/slow" else self.settings["tokens_per_second"]
        begun = time.monotonic()
        if model in ("demo/mid-stream-error", "demo/cut-off"):
            tokens = tokens[:_FAULT_AFTER]
        await self._send_paced(tokens, rate)
        if model == "demo/mid-stream-error":
            error = {"message": "The model is over capacity", "type": "internal_server_error"}
            await self._send([f"event: error\n{_event({'error': error})}"])
            return
        if model == "demo/cut-off":
            assert self.request.connection is not None
            stream = self.request.connection.stream  # type: ignore[attr-defined]
            stream.close()
            return
        usage = self._usage(body, time.monotonic() - begun)
        end = self._chunk({"delta": {}, "finish_reason": finish_reason}, usage=usage)
        await self._send([_event(end), "data: [DONE]\n\n"])

    async def _send_whole(self, model: str, body: dict[str, Any]) -> None:
        """Send the answer as one JSON object, when all its tokens are due."""
        tokens, finish_reason = _tokens_of(model, body)
        seconds = len(tokens) / self.settings["tokens_per_second"]
        self.seen |= {"tokens": len(tokens), "began_at": time.time()}
        await asyncio.sleep(seconds)
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        for kind, token in tokens:
            if kind != "pause":
                message[kind] = message.get(kind, type(token)()) + token
        choice = {"message": message, "finish_reason": finish_reason}
        self.write(self._chunk(choice, "chat.completion", usage=self._usage(body, seconds)))
        await self.flush()

    async def _send_paced(self, tokens: list[tuple[str, Any]], rate: float) -> None:
        """Send the tokens at the given rate, all that are due in one write."""
        begun, sent = time.monotonic(), 0
        while sent < len(tokens):
            due = min(len(tokens), 1 + int((time.monotonic() - begun) * rate))
            self.seen.setdefault("began_at", time.time())
            await self._send(
                _event(self._chunk({"delta": {kind: token}}))
                for kind, token in tokens[sent:due]
                if kind != "pause"
            )
            self.seen["tokens"] = sent = due
            await asyncio.sleep(_TICK_SECONDS)

    async def _send(self, events: Iterator[str] | list[str]) -> None:
        self.write("".join(events))
        await self.flush()

    @property
    def _id(self) -> str:
        return f"req_demo{self.number:06}"

    def _chunk(
        self, choice: dict[str, Any], kind: str = "chat.completion.chunk", **more: Any
    ) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._id}",
            "object": kind,
            "created": int(time.time()),
            "model": self.seen["body"]["model"],
            "system_fingerprint": "fp_demo",
            "choices": [{"index": 0, "finish_reason": None, "logprobs": None, **choice}],
            **more,
        }

    def _usage(self, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        asked = len(_tokenised(" ".join(map(_text, body["messages"]))))
        sent = self.seen["tokens"]
        return {
            "prompt_tokens": asked,
            "completion_tokens": sent,
            "total_tokens": asked + sent,
            "completion_time": round(seconds, 6),
        }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _tokens_of(model: str, body: dict[str, Any]) -> tuple[list[tuple[str, Any]], str]:
    """The answer as pairs of field and token, and its finish_reason."""
    limit = body.get("max_completion_tokens")
    if model in _streams() and body["messages"][-1]["role"] != "tool":
        return _played(**_streams()[model])
    if model == "demo/long":
        return [("content", token) for token in _long(body, limit or 8000)], "stop"
    thought = _THOUGHT if model == "demo/reasoning" else ""
    tokens = [("reasoning", token) for token in _tokenised(thought)]
    tokens += [("content", token) for token in _tokenised(_rest(body))]
    if limit and limit < len(tokens):
        return tokens[:limit], "length"
    return tokens, "stop"


def _played(
    deltas: list[tuple[str, Any]], finish_reason: str = "stop"
) -> tuple[list[tuple[str, Any]], str]:
    """A prepared stream, its texts as tokens; a pause is the time of so many tokens."""
    tokens: list[tuple[str, Any]] = []
    for kind, value in deltas:
        if kind == "pause":
            tokens += [(kind, "")] * value
        else:
            tokens += [
                (kind, t) for t in (_tokenised(value) if isinstance(value, str) else [value])
            ]
    return tokens, finish_reason


@cache
def _streams() -> dict[str, dict[str, Any]]:
    """The prepared streams, by model."""
    return dict(json.loads(Path(__file__).with_name("streams.json").read_text("utf-8")))


def _long(body: dict[str, Any], count: int) -> list[str]:
    """The chosen answer, or all of them, again and again, and a unique end."""
    text = _chosen(body) or "\n".join(_answers().values())
    end = _tokenised("\n\nThe end.")
    return [*islice(cycle(_tokenised(text + "\n")), max(0, count - len(end))), *end][-count:]


def _rest(body: dict[str, Any]) -> str:
    """The chosen answer, or what follows the part of it that the request ends with."""
    *asked, last = body["messages"]
    goes_on = last["content"] == GO_ON
    if goes_on:
        *asked, last = asked
    whole = _chosen({"messages": asked} if last["role"] == "assistant" else body)
    whole = whole or _answers()["fallback"]
    if last["role"] != "assistant" or not whole.startswith(said := _text(last)):
        return whole
    return whole[said.rfind("\n") + 1 if goes_on else len(said) :]


def _chosen(body: dict[str, Any]) -> str | None:
    """The answer whose words occur most often in the last message; None if none does."""
    asked = set(re.findall(r"[\w-]+", _text(body["messages"][-1]).lower()))
    answers = _answers()
    best = max(answers, key=lambda words: len(asked.intersection(words.split())))
    return answers[best] if asked.intersection(best.split()) else None


def _text(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


@cache
def _answers() -> dict[str, str]:
    """The answers, by the words that choose them."""
    source = Path(__file__).with_name("answers.md").read_text("utf-8")
    parts = (part.partition("\n") for part in source.split("%% ")[1:])
    return {words.strip(): answer.strip() + "\n" for words, _, answer in parts}


def _tokenised(text: str) -> list[str]:
    """Split the text into parts of about the size of a model's tokens."""
    return re.findall(r" ?\w{1,6}|\s+(?=\s)|\s|[^\w\s]{1,2}", text)


async def serve(port: int, tokens_per_second: float, *, keep_requests: bool = False) -> str:
    """Listen on 127.0.0.1; return the base URL. Port 0 takes a free port."""
    sockets = bind_sockets(port, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    path = _PATH + secrets.token_urlsafe(16)
    handlers: dict[str, type[RequestHandler]] = {
        "/openai/v1/chat/completions": ChatCompletions,
        "/openai/v1/models": Models,
    }
    if keep_requests:
        handlers["/demo/requests"] = Requests
    application = Application(
        [(path + rest, handler) for rest, handler in handlers.items()],
        hosts=(f"127.0.0.1:{port}", f"localhost:{port}"),
        tokens_per_second=tokens_per_second,
        keep_requests=keep_requests,
        seen=[],
        numbers=count(),
        refused=set(),
        log_function=lambda _handler: None,
    )
    HTTPServer(application, max_buffer_size=_LARGEST_BODY).add_sockets(sockets)
    return f"http://127.0.0.1:{port}{path}/openai/v1"


async def _main() -> None:
    parser = argparse.ArgumentParser("python -m groq_magic.demo")
    parser.add_argument("--port", type=int, default=8311)
    parser.add_argument("--tokens-per-second", type=float, default=500.0, metavar="N")
    parser.add_argument("--keep-requests", action="store_true", help="for /demo/requests")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin does")
    options = parser.parse_args()
    url = await serve(options.port, options.tokens_per_second, keep_requests=options.keep_requests)
    print(url if options.with_parent else f"GROQ_BASE_URL={url} GROQ_API_KEY=demo", flush=True)
    if options.with_parent:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await asyncio.Event().wait()


def run() -> None:
    """Serve until interrupted, as ``python -m groq_magic.demo`` does."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())


if __name__ == "__main__":
    run()
