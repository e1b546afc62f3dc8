"""Bodies of event streams and what they say: the cases of web-platform-tests, in our words."""

from __future__ import annotations

from pathlib import Path

from groq_magic.wire.sse import ServerSentEvent as Said

STREAMS: dict[str, tuple[bytes, list[Said]]] = {
    "a BOM is no text": (b"\xef\xbb\xbfdata:fox\n\n", [Said("fox")]),
    "the second of two BOMs is part of a name": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata:fox\n\ndata:owl\n\n",
        [Said("owl")],
    ),
    "a BOM behind the start is part of a name": (
        b"data:fox\n\n\xef\xbb\xbfdata:owl\n\ndata:elk\n\n",
        [Said("fox"), Said("elk")],
    ),
    "comments are nothing": (
        b"data:fox\n:\0\n:\r\ndata:owl\n:" + b"z" * 3000 + b"\rdata:elk\n:data:no\n:\n\n",
        [Said("fox\nowl\nelk")],
    ),
    "a line that the end cuts off is nothing": (
        b"retry:700\ndata:fox\n\ndata:owl",
        [Said("fox", retry=700)],
    ),
    "fields without a colon, and empty events": (
        b"data:\n\ndata\ndata\n\ndata:fox\n\n",
        [Said(""), Said("\n"), Said("fox")],
    ),
    "an event has a name, the next one has none": (
        b"event:barks\ndata:fox\n\ndata:owl\n\n",
        [Said("fox", "barks"), Said("owl")],
    ),
    "an empty name is no name": (b"event: \ndata:fox\n\n", [Said("fox")]),
    "the last of two names": (b"event:a\nevent:b\ndata:fox\n\n", [Said("fox", "b")]),
    "an id stays": (
        b"id:4\ndata:fox\n\ndata:owl\n\n",
        [Said("fox", id="4"), Said("owl", id="4")],
    ),
    "an empty id is an id": (
        b"id:4\ndata:fox\n\nid\ndata:owl\n\nid:\ndata:elk\n\n",
        [Said("fox", id="4"), Said("owl"), Said("elk")],
    ),
    "an id of a block without data stays, too": (
        b"id:4\n\ndata:fox\n\n",
        [Said("fox", id="4")],
    ),
    "an id may be any text": ("id:ö…\ndata:fox\n\n".encode(), [Said("fox", id="ö…")]),
    "an id with a null is none": (
        b"id:4\ndata:fox\n\nid:5\0 \ndata:owl\n\n",
        [Said("fox", id="4"), Said("owl", id="4")],
    ),
    "names of fields are exact": (
        b"data:\0\ndata:  2\rData:no\ndata\0:no\ndata:3\n\r data:no\rda-ta:no\ndata:4\n\n",
        [Said("\0\n 2\n3"), Said("4")],
    ),
    "retry is digits": (b"retry:03000\ndata:fox\n\n", [Said("fox", retry=3000)]),
    "retry is nothing else": (
        b"retry:30\nretry:30x\nretry:-1\nretry:1.5\nretry:\nretry\ndata:fox\n\n",
        [Said("fox", retry=30)],
    ),
    "digits are those of ASCII": ("retry:٣\ndata:fox\n\n".encode(), [Said("fox")]),
    "unknown fields are nothing": (
        b"data:fox\n data:no\ndata\t:no\ndatas:no\njustsome\n:data:no\ndata:owl\n\n",
        [Said("fox\nowl")],
    ),
    "one space belongs to the colon, a tab does not": (
        b"data:\tfox\rdata: \ndata:owl\n\n",
        [Said("\tfox\n\nowl")],
    ),
    "three kinds of line ends": (
        b"data:fox\r\ndata\ndata:owl\r\n\r\ndata:elk\r\rdata:cat\n\n",
        [Said("fox\n\nowl"), Said("elk"), Said("cat")],
    ),
    "a null is text": (b"data:\0\n\n\n\n", [Said("\0")]),
    "text is UTF-8": ("data:fox – ö 🦊\n\n".encode(), [Said("fox – ö 🦊")]),
    "what is no UTF-8 is replaced": (b"data:f\xf6x\n\n", [Said("f\ufffdx")]),
    "data with colons": (b"data::fox: owl:\n\n", [Said(":fox: owl:")]),
}


DATA = Path(__file__).parents[1] / "data" / "streams"
"""Streams of our own making, each in a shape that Groq sends."""
RECORDED = Path(__file__).parents[3] / "shared" / "recorded-streams"


ERRORS = [
    ({"detail": "Not Found"}, "Not Found"),
    ({"detail": [{"msg": "Field required", "loc": ["body", 0]}]}, r"Field required \(body.0\)"),
    ({"detail": [{"msg": "a", "loc": 5}, {"msg": "b"}, "c", "d"]}, "a; b; c"),
    ({"object": "error", "message": "Bad model", "code": 400}, "Bad model"),
    ({"object": "error", "message": {"detail": [{"msg": "Missing"}]}}, "Missing"),
    ({"errors": [{"message": "No route", "code": 7003}]}, "No route"),
    ({"errors": ["one", {"message": "two"}]}, "one; two"),
    ({"error": True, "message": "Hot"}, "Hot"),
]
