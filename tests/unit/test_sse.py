"""The event stream format, https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic.errors import APIError
from groq_magic.wire.sse import ServerSentEvent, SSEDecoder
from tests.support.event_streams import STREAMS


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def datas(*pieces: bytes) -> list[str]:
    return [event.data for event in decode(*pieces)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: one\n\n", ["one"]),
        (b"data:one\n\n", ["one"]),
        (b"data:  one\n\n", [" one"]),
        (b"data: one\ndata: two\n\n", ["one\ntwo"]),
        (b"data\n\n", [""]),
        (b"data:\n\n", [""]),
        (b"data: one\r\rdata: two\r\n\r\n", ["one", "two"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        (b"data: \xef\xbb\xbfone\n\n", ["\ufeffone"]),
        (b": ping\n\ndata: one\n\n", ["one"]),
        (b": ping\ndata: one\n\n", ["one"]),
        (b"event: x\n\n", []),
        (b"datax: one\n\n", []),
        (b"Data: one\n\n", []),
        ("data: a\u2028b\u2029c\u0085d\n\n".encode(), ["a\u2028b\u2029c\u0085d"]),
        (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]),
        (b"data: a\x00b\n\n", ["a\x00b"]),
        (b"\n\n\ndata: one\n\n\n\n", ["one"]),
        (b"", []),
    ],
)
def test_data(body: bytes, expected: list[str]) -> None:
    assert datas(body) == expected
    assert datas(*(bytes([byte]) for byte in body)) == expected


def test_names_ids_and_retry() -> None:
    body = b"event: error\nid: 7\nretry: 3000\ndata: x\n\n"
    body += b"data: y\n\nid: a\x00b\nretry: 1s\ndata: z\n\n"
    assert decode(body) == [
        ServerSentEvent("x", "error", "7", 3000),
        ServerSentEvent("y", "message", "7", None),
        ServerSentEvent("z", "message", "7", None),
    ]


def test_an_event_comes_as_soon_as_its_blank_line_does() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: one\r\n\r") == [ServerSentEvent("one")]
    assert decoder.feed(b"\ndata: two\n\n") == [ServerSentEvent("two")]


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert datas(b"data: one\n\ndata: tw") == ["one"]


def test_a_complete_last_line_counts_without_its_blank_line() -> None:
    assert datas(b"data: one\n\ndata: two\n") == ["one", "two"]


def test_an_event_has_a_largest_size() -> None:
    decoder = SSEDecoder(max_event_size=100)
    decoder.feed(b"data: " + b"x" * 90 + b"\n\n")
    with pytest.raises(APIError, match="larger than 100 bytes"):
        decoder.feed(b"data: " + b"x" * 101)


def test_many_lines_of_one_event_count_together() -> None:
    decoder = SSEDecoder(max_event_size=100)
    with pytest.raises(APIError):
        decoder.feed(b"data: xxxxxxxxx\n" * 12)


def test_many_small_events_are_no_large_one() -> None:
    decoder = SSEDecoder(max_event_size=100)
    assert len(decoder.feed(b": ping\ndata: x\n\n" * 1000)) == 1000


@pytest.mark.parametrize("line", [b"data\n", b"data:\n", b": ping\n", b"x\n"])
def test_empty_lines_count_too(line: bytes) -> None:
    with pytest.raises(APIError, match="larger than 100 bytes"):
        SSEDecoder(max_event_size=100).feed(line * 60)


@pytest.mark.parametrize("then", [lambda d: d.feed(b"\n"), lambda d: d.close()])
def test_what_came_before_an_event_that_is_too_large_is_kept(
    then: Callable[[SSEDecoder], object],
) -> None:
    decoder = SSEDecoder(max_event_size=100)
    assert decoder.feed(b"data: one\n\ndata: " + b"x" * 101) == [ServerSentEvent("one")]
    with pytest.raises(APIError, match="larger than 100 bytes"):
        then(decoder)


def test_nothing_comes_behind_an_event_that_is_too_large() -> None:
    decoder = SSEDecoder(max_event_size=100)
    for data in (b"data: " + b"x" * 101, b"\n\ndata: one\n\n"):
        with pytest.raises(APIError, match="larger than 100 bytes"):
            decoder.feed(data)


def test_a_retry_of_many_digits_is_none() -> None:
    assert decode(b"retry: " + b"9" * 5000 + b"\ndata: x\n\n") == [ServerSentEvent("x")]


lines = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b": c",
        b"event: e",
        b"id: 1",
        b"retry: 5",
        b"",
        "data: é✓".encode(),
    ]
)
bodies = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n"]))).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(bodies, st.lists(st.integers(min_value=0)))
def test_no_cut_changes_anything(body: bytes, places: list[int]) -> None:
    cuts = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    pieces = [body[start:end] for start, end in itertools.pairwise(cuts)]
    assert decode(*pieces) == decode(body)


@given(st.lists(st.binary()))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    decode(*pieces)


@pytest.mark.parametrize(("body", "expected"), STREAMS.values(), ids=STREAMS)
def test_the_cases_of_web_platform_tests_cut_anywhere(
    body: bytes, expected: list[ServerSentEvent]
) -> None:
    assert decode(body) == expected
    assert decode(*(bytes([byte]) for byte in body)) == expected
    for cut in range(len(body)):
        assert decode(body[:cut], body[cut:]) == expected
