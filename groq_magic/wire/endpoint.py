"""The server's address and the key."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import httpx

from groq_magic.errors import InputError, MissingKeyError
from groq_magic.runtime import runtime

GROQ_URL = "https://api.groq.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""The names of this machine."""
_DEMO_PATH = "/groq-demo-"
_UNENCRYPTED = "GROQ_SEND_KEY_UNENCRYPTED"
_SHORTEST_SECRET = 16
"""A shorter key is a word for a local server; it may occur in answers and in JSON."""


@dataclass(frozen=True)
class Endpoint:
    """The server's address without ``/chat/completions``, and the key, which no repr shows."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, base_url: str | None = None, *, needs_key: bool = True) -> Endpoint:
        """``base_url``, else the one in use, else ``GROQ_BASE_URL``, else Groq.

        The key is the one kept in memory, else ``GROQ_API_KEY``.
        The path may be left out (``https://api.groq.com``) or given
        (``https://api.groq.com/openai/v1``). Raises `MissingKeyError` where a server that is
        not on this machine needs a key, unless ``needs_key`` is false, and `InputError` for an
        invalid URL and for one that would send the key unencrypted, unless
        ``GROQ_SEND_KEY_UNENCRYPTED=yes``.
        """
        chosen = runtime.own(Chosen).endpoint
        if chosen is not None and base_url is None:
            return chosen
        base = _configured(base_url)
        if not (base.is_safe or os.environ.get(_UNENCRYPTED) == "yes"):
            raise InputError(
                f"{base.url} would get the key unencrypted. Use https://, "
                f"or set {_UNENCRYPTED}=yes if you mean it."
            )
        key = None if base.is_demo else _key()
        if needs_key and not (key or base.is_loopback):
            raise MissingKeyError
        return cls(base.url, key)

    def __reduce__(self) -> tuple[type[Endpoint], tuple[str]]:
        return Endpoint, (self.base_url,)  # a pickle may become a file, and no file holds the key

    def without_key(self, text: str) -> str:
        """The server's text with the key replaced, in plain form and in JSON."""
        key = self.api_key
        if key is None or len(key) < _SHORTEST_SECRET:
            return text
        if "\\" in text:
            return _escaped(key).sub("[API key]", text)
        return text.replace(key, "[API key]")

    @property
    def host(self) -> str:
        """The server's name, for error messages."""
        return httpx.URL(self.base_url).host

    @property
    def headers(self) -> dict[str, str]:
        """The header with the key; empty without a key."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


class Chosen:
    """What this process uses before the environment's key and server."""

    key: str | None = None
    endpoint: Endpoint | None = None
    """Used where no ``base_url`` is given."""


def keep_key(text: str) -> None:
    """Use this key instead of ``GROQ_API_KEY``, in this process only.

    The environment stays as it is, since child processes inherit it. Raises `InputError` for
    a text that is not a key; the earlier key then stays.
    """
    text = text.strip()
    if not text:
        raise InputError(
            "No key was given; nothing has changed. Keys: https://console.groq.com/keys."
        )
    if not _is_key(text):
        del text  # no frame of the error's traceback holds it
        raise InputError("That has characters that no key has; nothing has changed. Try again.")
    runtime.own(Chosen).key = text


def key_source() -> str:
    """Where the key comes from, without any part of it; empty without a key."""
    if runtime.own(Chosen).key:
        return "kept in memory by %groq login"
    return "found in GROQ_API_KEY" if os.environ.get("GROQ_API_KEY", "").strip() else ""


def use_endpoint(endpoint: Endpoint | None) -> None:
    """Use it in this process where no ``base_url`` is given; None ends that."""
    runtime.own(Chosen).endpoint = endpoint


def present_url(base_url: str | None = None) -> str:
    """The base URL that `Endpoint.from_environment` uses, with or without a key."""
    chosen = runtime.own(Chosen).endpoint
    return chosen.base_url if chosen and base_url is None else _configured(base_url).url


def without_secret(base_url: str) -> str:
    """The URL for an output: the path of a demo server holds its secret."""
    return base_url.partition(_DEMO_PATH)[0] if _base_url(base_url).is_demo else base_url


def server_name(base_url: str) -> str:
    """The URL as a name that stays: each demo server has another port and secret."""
    return "demo" if _base_url(base_url).is_demo else base_url


_PROXY_SETTINGS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_NETWORK_SETTINGS = (
    *_PROXY_SETTINGS,
    *map(str.lower, _PROXY_SETTINGS),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


def network_settings() -> tuple[str | None, ...]:
    """The environment's settings for proxies and certificates, which a `Client` uses."""
    return tuple(map(os.environ.get, _NETWORK_SETTINGS))


class _BaseUrl(NamedTuple):
    url: str
    is_loopback: bool
    is_safe: bool
    """Whether the connection is encrypted or stays on this machine."""
    is_demo: bool
    """Whether it is a `groq_magic.demo`, which gets no key."""


def _configured(base_url: str | None) -> _BaseUrl:
    if not isinstance(base_url, str | None):
        raise InputError(f"base_url must be a URL, not {base_url!r}.")
    return _base_url(base_url or os.environ.get("GROQ_BASE_URL") or GROQ_URL)


@lru_cache(maxsize=32)
def _base_url(text: str) -> _BaseUrl:
    fault = _fault_of(text)
    if fault:
        del text  # it may hold a password, which no traceback shows
        raise InputError(f"GROQ_BASE_URL {fault}")
    url = httpx.URL(text.strip())
    host = url.host
    path = url.path.rstrip("/") or "/openai/v1"
    whole = str(url.copy_with(path=path, query=None, fragment=None))
    is_loopback = host in LOOPBACK
    is_demo = is_loopback and path.startswith(_DEMO_PATH)
    return _BaseUrl(whole, is_loopback, is_loopback or url.scheme == "https", is_demo)


def _fault_of(text: str) -> str:
    try:
        url = httpx.URL(text.strip())
        host = url.host
        url.raw_host.decode().encode("idna")  # which the resolver does, too
    except (httpx.InvalidURL, UnicodeError) as error:
        return f"is not a URL{'' if '@' in text else f': {error}'}."
    if url.scheme not in ("http", "https") or not host:
        return "must begin with https:// and name a host."
    return "holds a user name or password. Take it out." if url.userinfo else ""


def _key() -> str | None:
    if kept := runtime.own(Chosen).key:
        return kept
    key = os.environ.get("GROQ_API_KEY", "").strip()
    if not _is_key(key):
        del key  # no frame of the error's traceback holds it
        # Checked here, before a library's error quotes the key.
        raise InputError("GROQ_API_KEY has characters that no key has. Set it again.")
    return key or None


@lru_cache(maxsize=8)
def _escaped(key: str) -> re.Pattern[str]:
    r"""Matches the key in JSON: ``/`` may be ``\/``, any character ``\u`` and its number."""
    return re.compile("".join(map(_escaped_character, key)))


def _escaped_character(character: str) -> str:
    backslash = r"\\?" if character in '/"\\' else ""  # before a letter it makes another one
    return rf"(?:{backslash}{re.escape(character)}|\\u00(?i:{ord(character):02x}))"


def _is_key(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
