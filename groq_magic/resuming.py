"""How the rest of an answer that was stopped or cut is asked for.

Groq's models write on where the last message ends, if that is the assistant's own
(https://console.groq.com/docs/prefilling). Models that think first, and systems of models, take
such a message for a complete one: they are asked to go on, and what they repeat is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from groq_magic.wire.protocol import Message

from .accumulator import Accumulator

GO_ON = (
    "Your last message was cut off. Continue it: write its last line again, exactly as it is, "
    "and go on from there. Write no introduction, and open no code block that is open already."
)


def messages_to_resume(before: Accumulator, parameters: Mapping[str, Any]) -> list[Message]:
    """The text so far, as the assistant's message; for some models, also the request to go on."""
    said = [Message("assistant", "".join(before.ended()[0]))]
    return said if _takes_prefill(before, parameters) else [*said, Message("user", GO_ON)]


def content_to_resume(before: Accumulator, parameters: Mapping[str, Any]) -> Accumulator:
    """What the resumed answer begins with."""
    return before.to_resume(repeats=not _takes_prefill(before, parameters))


def _takes_prefill(before: Accumulator, parameters: Mapping[str, Any]) -> bool:
    thinks = before.reasoning or parameters.get("reasoning_format") == "hidden"
    return not (thinks or re.search("gpt-oss|compound", parameters["model"]))
