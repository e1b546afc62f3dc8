"""Failed connections and error responses to exceptions of groq_magic."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from typing import Any
from urllib.request import getproxies

import httpx

from groq_magic.errors import (
    PROXY_LOGIN,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    CertificateError,
    GroqError,
    IncompleteStreamError,
    SetUpError,
    status_error_class,
)

from .endpoint import Endpoint
from .parsing import fields_of, in_stream_error, is_error, said_in, word
from .protocol import Responded
from .rate_limits import Refusal, parse_duration

_RETRIED = {408, 409, 429, 498}
_LONGEST_WAIT = 60.0


@contextmanager
def as_our_errors(endpoint: Endpoint) -> Iterator[None]:
    """Raise errors of httpx, sockets and TLS as errors of groq_magic."""
    try:
        yield
    except (httpx.HTTPError, OSError) as error:  # such as ssl.SSLError in mid-stream
        raise _our_error(error, endpoint.host) from without_frames(error)


def without_frames(error: BaseException) -> BaseException:
    """Remove the error's frames, which hold the request with its key."""
    error.__traceback__ = None
    for behind in (error.__cause__, error.__context__):
        if behind is not None and behind.__traceback__ is not None:
            without_frames(behind)
    return error


def _our_error(error: Exception, host: str) -> APIConnectionError:
    match error:
        case httpx.ConnectTimeout():
            return APITimeoutError(f"{host} did not answer in 5 s. Check {_what_leads_there()}.")
        case httpx.TimeoutException():
            return APITimeoutError(f"{host} fell silent. Run the cell again.")
        case httpx.ProxyError():
            return _proxy_error(str(error), host)
        case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _certificate_error(str(error), host)
        case httpx.ConnectError():
            return APIConnectionError(
                f"Could not reach {host} ({error}). Check {_what_leads_there()}."
            )
    return APIConnectionError(f"The connection to {host} broke. Run the cell again.")


def _what_leads_there() -> str:
    proxies = getproxies().keys() & {"https", "http", "all"}
    return f"the network{', HTTPS_PROXY' if proxies else ''} and GROQ_BASE_URL"


def _proxy_error(said: str, host: str) -> APIConnectionError:
    if said.startswith("407"):
        return SetUpError(f"The proxy needs a login. {PROXY_LOGIN}")
    said = f"HTTP {said[:3]}" if said[:3].isdigit() else said  # without the proxy's own words
    return APIConnectionError(
        f"The proxy made no connection to {host} ({said}). Check HTTPS_PROXY and NO_PROXY."
    )


_CLOCK = "Check this machine's clock, or tell the server's owner."
_CERTIFICATE_FAULTS = {  # by OpenSSL's message
    "has expired": f"has expired. {_CLOCK}",
    "not yet valid": f"is not valid yet. {_CLOCK}",
    "mismatch": "is for another name. Check GROQ_BASE_URL.",
    "": "is not trusted. Set SSL_CERT_FILE to the file of the authority that signed it.",
}


def _certificate_error(said: str, host: str) -> CertificateError:
    fault = next(words for name, words in _CERTIFICATE_FAULTS.items() if name in said)
    return CertificateError(f"The certificate of {host} {fault}")


_DOCUMENTS = {"application/json", "application/problem+json", "text/html"}


def is_document(response: httpx.Response) -> bool:
    """Whether a response of status 200 is a document and not a stream."""
    kind = _kind(response)
    # Some servers stream as plain text, but a stream does not know its length.
    return kind in _DOCUMENTS or (kind == "text/plain" and "content-length" in response.headers)


def _kind(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def not_a_stream(response: httpx.Response, body: str, endpoint: Endpoint) -> GroqError:
    """The error for a document with status 200."""
    wire = json_object(endpoint.without_key(body))
    if is_error(wire):
        return in_stream_error(wire)
    return IncompleteStreamError(
        f"The server sent {_kind(response)}, not a stream. Check GROQ_BASE_URL."
    )


def status_error(response: httpx.Response, body: str, endpoint: Endpoint) -> APIStatusError:
    """The error for a status other than 200."""
    wire = json_object(endpoint.without_key(body))
    reason = endpoint.without_key(response.reason_phrase) or "The server gave no reason"
    said = said_in(wire) or reason
    error = status_error_class(response.status_code)(
        said,
        fields_of(wire),
        status_code=response.status_code,
        request_id=responded(response, endpoint).request_id,
        retry_after=_retry_after(response.headers, said),
        should_retry=_should_retry(response),
    )
    if (refusal := Refusal.parse(said)) and refusal.excess:
        by = f"by {refusal.excess:,} {refusal.unit} or more"
        error.next_step = f"Shorten the prompt, or lower --max-tokens, {by}."
    return error


def responded(response: httpx.Response, endpoint: Endpoint) -> Responded:
    """The headers, with the key replaced."""
    headers = {name: endpoint.without_key(said) for name, said in response.headers.items()}
    return Responded(word(headers.get("x-request-id")), headers, response.status_code)


def json_object(body: str) -> dict[str, Any]:
    """The JSON object in a body; empty for any other body."""
    try:
        wire = json.loads(body)
    except (ValueError, RecursionError):  # an HTML page, nothing, or endless brackets
        return {}
    return wire if isinstance(wire, dict) else {}


def _should_retry(response: httpx.Response) -> bool:
    said = response.headers.get("x-should-retry")
    if said in ("true", "false"):
        return bool(said == "true")
    return bool(response.status_code in _RETRIED or response.status_code >= 500)


def _retry_after(headers: httpx.Headers, message: str) -> float | None:
    """Seconds from ``retry-after-ms``, ``retry-after`` (number or date) or the message."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    said = headers.get("retry-after", "")
    in_words = re.search(r"try again in ([0-9.a-zµ]+[a-z])", message)
    ways = (
        milliseconds and milliseconds / 1000,
        _number(said),
        _seconds_to(said),
        parse_duration(in_words[1]) if in_words else None,
    )
    return next((max(seconds, 0.0) for seconds in ways if seconds is not None), None)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _seconds_to(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time()
    except (ValueError, OverflowError):
        return None


def retry_delay(error: APIConnectionError | APIStatusError, attempt: int) -> float | None:
    """Seconds until the next attempt; None where another attempt cannot help."""
    said = None
    if isinstance(error, CertificateError | IncompleteStreamError | SetUpError):
        return None
    if isinstance(error, APIStatusError):
        if not error.should_retry:
            return None
        said = error.retry_after
    if not said:  # a delay of 0, too: not all clients at once
        jitter = random.uniform(0.75, 1.0)  # noqa: S311  # so that clients do not retry in step
        return float(min(0.5 * 2 ** (attempt - 1), 8.0) * jitter)
    return said if said <= _LONGEST_WAIT else None


def reason_of(error: APIConnectionError | APIStatusError) -> str:
    """Why the request is sent again, in two words."""
    if isinstance(error, APIStatusError):
        return "rate limit" if error.status_code == 429 else f"HTTP {error.status_code}"
    return "no answer" if isinstance(error, APITimeoutError) else "no connection"
