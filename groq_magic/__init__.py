"""Ask models at Groq from a notebook: `%%groq` cells that stream live Markdown, and `stream()`.

>>> from groq_magic import demo, stream
>>> stream("Three names for a cat", base_url=demo.start()).result().partition(":")[0]
'Three names for a cat'

The demo server answers here, without a key. Groq does without ``base_url``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .answer import Answer
    from .api import stream
    from .conversation import Conversation, Turn
    from .errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        CapacityError,
        CertificateError,
        ConflictError,
        GroqError,
        IncompleteStreamError,
        InputError,
        InternalServerError,
        MissingKeyError,
        NotFoundError,
        ParseError,
        PermissionDeniedError,
        RateLimitError,
        RequestTooLargeError,
        SetUpError,
        StreamError,
        TooLongError,
        UnprocessableEntityError,
    )
    from .streams.show import show
    from .wire.protocol import Kept, Message, ToolCall, Usage
    from .wire.sources import Source

__version__ = "0.1.0"

# The extension is loaded at every start of a kernel, so modules are imported when they are used.
_MODULES = {"Answer": "answer", "show": "streams.show", "stream": "api"}
_MODULES |= dict.fromkeys(("Kept", "Message", "ToolCall", "Usage"), "wire.protocol")
_MODULES["Source"] = "wire.sources"
_MODULES |= dict.fromkeys(("Conversation", "Turn"), "conversation")

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "Answer",
    "AuthenticationError",
    "BadRequestError",
    "CapacityError",
    "CertificateError",
    "ConflictError",
    "Conversation",
    "GroqError",
    "IncompleteStreamError",
    "InputError",
    "InternalServerError",
    "Kept",
    "Message",
    "MissingKeyError",
    "NotFoundError",
    "ParseError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTooLargeError",
    "SetUpError",
    "Source",
    "StreamError",
    "TooLongError",
    "ToolCall",
    "Turn",
    "UnprocessableEntityError",
    "Usage",
    "load_ipython_extension",
    "show",
    "stream",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("show", "stream"):
        import_module(".errors", __name__).check_threads()
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext groq_magic``: register the magics."""
    from .ipython.magic import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext groq_magic``: take the magics out; answers that run go on."""
    from .ipython.magic import unload

    unload(shell)
