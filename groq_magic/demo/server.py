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

``--plan free`` limits each model and key as Groq's free plan does, ``--plan paid`` as a paid one,
``--plan 80000,300`` to so many tokens and requests per minute; two more numbers are requests and
tokens per day. A request reserves its prompt and ``max_completion_tokens``, and is charged what it
used when it ends; with ``--charge-prompt-only`` its prompt alone until then. What exceeds a limit
gets 413 or 429 in Groq's words. ``PUT /demo/plan`` in place of ``/openai/v1`` changes the plan.

With ``--keep-requests``, ``/demo/requests`` in place of ``/openai/v1`` lists the requests:
``body``, ``tokens`` sent, ``state`` ("streaming", "done", or "closed" by the client), and
``began_at`` and ``ended_at`` in seconds since 1970. With a plan there are ``status``, the tokens
``requested`` and ``charged``, ``admitted_at`` and the words of a ``refusal``, too.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from groq_magic.demo.answers import maximum_of, prompt_tokens, tokens_of
from groq_magic.demo.models import models
from groq_magic.demo.plan import Charge, Limits, Plan, Refused

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
        self.write({"object": "list", "data": models()})


class Requests(Guarded):
    """``GET /demo/requests``, with ``--keep-requests``."""

    def get(self) -> None:
        self.write({"requests": self.settings["seen"]})


class ChangedPlan(Guarded):
    """``PUT /demo/plan``, with ``--plan``."""

    def put(self) -> None:
        self.settings["plan"].change(Limits.of(self.request.body.decode()))


class ChatCompletions(Guarded):
    """``POST /openai/v1/chat/completions``."""

    def prepare(self) -> None:
        super().prepare()
        self.seen: dict[str, Any] = {"body": None, "tokens": 0, "state": "streaming"}
        self.prompt_tokens = 0
        self.charge: Charge | None = None
        if self._finished:
            return
        self.number = next(self.settings["numbers"])
        if self.settings["keep_requests"]:
            self.settings["seen"].append(self.seen)

    async def post(self) -> None:
        body = self.seen["body"] = json.loads(self.request.body)
        has_plan = self.settings["plan"] is not None
        self.prompt_tokens = prompt_tokens(body, with_template=has_plan)
        if not self._is_admitted(body):
            return
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
        if self.charge:
            self.charge.settle(self.prompt_tokens + self.seen["tokens"])
            self.seen["charged"] = self.charge.tokens

    def _is_admitted(self, body: dict[str, Any]) -> bool:
        plan: Plan | None = self.settings["plan"]
        if plan is None:
            self._say_limits()
            return True
        account = plan.account(body["model"], self.request.headers.get("Authorization", ""))
        most = maximum_of(body)
        self.seen["requested"] = self.prompt_tokens + most
        try:
            self.charge = account.admit(self.prompt_tokens, most)
        except Refused as refused:
            self._say(account.headers)
            self._refuse_by_plan(refused)
            return False
        self.seen |= {"status": 200, "charged": self.charge.tokens, "admitted_at": time.time()}
        self._say(account.headers)
        return True

    def _refuse_by_plan(self, refused: Refused) -> None:
        self.seen |= {"status": refused.status, "refusal": refused.message}
        if refused.retry_after:
            self.set_header("retry-after", str(refused.retry_after))
        self._refuse(refused.status, refused.message, "rate_limit_exceeded", refused.unit)

    def _say(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.set_header(name, value)

    def _say_limits(self) -> None:
        left = _REQUESTS_A_DAY - self.number - 1
        self.set_header("x-ratelimit-limit-requests", str(_REQUESTS_A_DAY))
        self.set_header("x-ratelimit-remaining-requests", str(left))
        self.set_header("x-ratelimit-reset-requests", f"{6 * (_REQUESTS_A_DAY - left)}s")

    def _is_first_try(self) -> bool:
        self.settings["refused"] ^= {hash(self.request.body)}
        return hash(self.request.body) in self.settings["refused"]

    def _refuse(
        self, status: int, message: str, code: str, kind: str = "invalid_request_error"
    ) -> None:
        self._over("done")
        self.set_status(status)
        error = {"message": message, "type": kind, "code": code}
        self.finish({"error": error})

    async def _stream(self, model: str, body: dict[str, Any]) -> None:
        self._connection.set_nodelay(True)  # else a token waits up to 40 ms for the last one's ACK
        self.set_header("content-type", "text/event-stream")
        self.set_header("cache-control", "no-cache")
        self.set_header("x-request-id", self._id)
        head = {"delta": {"role": "assistant", "content": ""}}
        await self._send([_event(self._chunk(head, x_groq={"id": self._id}))])
        tokens, finish_reason = tokens_of(model, body)
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
            self._connection.close()
            return
        usage = self._usage(time.monotonic() - begun)
        end = self._chunk({"delta": {}, "finish_reason": finish_reason}, usage=usage)
        await self._send([_event(end), "data: [DONE]\n\n"])

    async def _send_whole(self, model: str, body: dict[str, Any]) -> None:
        """Send the answer as one JSON object, when all its tokens are due."""
        tokens, finish_reason = tokens_of(model, body)
        seconds = len(tokens) / self.settings["tokens_per_second"]
        self.seen |= {"tokens": len(tokens), "began_at": time.time()}
        await asyncio.sleep(seconds)
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        for kind, token in tokens:
            if kind != "pause":
                message[kind] = message.get(kind, type(token)()) + token
        choice = {"message": message, "finish_reason": finish_reason}
        self.write(self._chunk(choice, "chat.completion", usage=self._usage(seconds)))
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
    def _connection(self) -> IOStream:
        assert self.request.connection is not None
        stream: IOStream = self.request.connection.stream  # type: ignore[attr-defined]
        return stream

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

    def _usage(self, seconds: float) -> dict[str, Any]:
        sent = self.seen["tokens"]
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": sent,
            "total_tokens": self.prompt_tokens + sent,
            "completion_time": round(seconds, 6),
        }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def serve(
    port: int, tokens_per_second: float, *, keep_requests: bool = False, plan: Plan | None = None
) -> str:
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
    if plan:
        handlers["/demo/plan"] = ChangedPlan
    application = Application(
        [(path + rest, handler) for rest, handler in handlers.items()],
        hosts=(f"127.0.0.1:{port}", f"localhost:{port}"),
        tokens_per_second=tokens_per_second,
        keep_requests=keep_requests,
        plan=plan,
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
    parser.add_argument("--plan", type=Limits.of, help="free, paid, or TPM,RPM[,RPD[,TPD]]")
    parser.add_argument("--charge-prompt-only", action="store_true", help="when an answer begins")
    options = parser.parse_args()
    plan = options.plan and Plan(options.plan, reserves=not options.charge_prompt_only)
    url = await serve(
        options.port, options.tokens_per_second, keep_requests=options.keep_requests, plan=plan
    )
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
