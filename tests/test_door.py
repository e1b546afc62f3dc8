"""The public door, and the order of the rooms behind it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import groq_magic

PACKAGE = Path(groq_magic.__file__).parent

# Top to bottom: a room imports from those above it only.
ROOMS = "errors waiters background sse chat chunks models".split()
ROOMS += "endpoint failures body opening client".split()
ROOMS += "accumulator answer session".split()
ROOMS += "formula dialect stable blocks calm markdown looks host live view table".split()
ROOMS += "images values prompt conversation api notebook demo commands magic __init__".split()

# Each of these is imported in the one room that is about it.
ONLY_IN = {
    "httpx": ("endpoint", "failures", "body", "opening", "client"),
    "markdown_it": "dialect",
    "pygments": "dialect",
    "anywidget": "live",
    "IPython.display": ("live", "table", "view"),
    "tornado": "demo",
    "IPython.core": ("magic", "notebook"),
    "threading": ("waiters", "background", "live", "conversation"),
}


def imports_of(room: str) -> Iterator[str]:
    """Dotted names of what a room imports when it is run, wherever in the file."""
    tree = ast.parse((PACKAGE / f"{room}.py").read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level
            if node.module:
                yield prefix + node.module
            else:
                yield from (prefix + alias.name for alias in node.names)


def test_every_file_is_a_room() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_upwards_only(room: str) -> None:
    above = ROOMS[: ROOMS.index(room)]
    own = {name.strip(".") for name in imports_of(room) if name.startswith(".")}
    assert own <= set(above)


@pytest.mark.parametrize(("library", "rooms"), ONLY_IN.items())
def test_a_library_is_imported_where_it_belongs(library: str, rooms: str | tuple[str, ...]) -> None:
    importing = {
        room
        for room in ROOMS
        if any(name == library or name.startswith(f"{library}.") for name in imports_of(room))
    }
    # For types alone, `__init__` names IPython's shell.
    assert importing - {"__init__"} == ({rooms} if isinstance(rooms, str) else set(rooms))


def test_the_door() -> None:
    assert groq_magic.__all__ == sorted(groq_magic.__all__)
    for name in groq_magic.__all__:
        assert getattr(groq_magic, name) is not None
    assert dir(groq_magic) == groq_magic.__all__
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = groq_magic.nothing_like_this


def test_every_error_is_at_the_door() -> None:
    from groq_magic import errors

    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.GroqError)
    }
    assert tree <= set(groq_magic.__all__)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import groq_magic", "httpx markdown_it anywidget ipywidgets IPython asyncio"),
        ("import groq_magic.magic", "httpx markdown_it anywidget ipywidgets"),
        ("from groq_magic import stream", "markdown_it anywidget ipywidgets IPython"),
    ],
)
def test_what_an_import_leaves_out(statement: str, absent: str) -> None:
    check = f"{statement}; import sys; print(*({absent.split()} & sys.modules.keys()))"
    check = check.replace(str(absent.split()), str(set(absent.split())))
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
