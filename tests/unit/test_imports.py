"""The public API, and the order of the packages and modules behind it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import groq_magic

PACKAGE = Path(groq_magic.__file__).parent

# Top to bottom: a package or module imports from those above it only.
ORDER = "errors runtime wire limits question store overlap accumulator receiver answer".split()
ORDER += "usage keeping markdown display streams prompt conversation resuming api".split()
ORDER += "demo ipython".split()
ORDER += ["__init__"]

# The same inside each package.
INSIDE = {
    "runtime": "waiters threads loop",
    "wire": "sse protocol rate_limits tokens sources think_tags parsing models endpoint failures"
    " body connect client",
    "limits": "cost minute ledger planner",
    "markdown": "limits code math links segments inline_html flanking markers tables parser"
    " stability blocks open_blocks open_leaves transcript open_formulas tail streaming",
    "display": "frontend beside status static table growing pace widget live marimo show",
    "prompt": "images values response_format messages interpolation",
    "streams": "adapters reading show",
    "demo": "answers models plan server",
    "ipython": "namespace flags ceiling tables commands completion magic",
}

# Each library is imported in the package that is about it, and there in these modules.
ONLY_IN = {
    "httpx": "wire.endpoint wire.failures wire.body wire.connect wire.client",
    "markdown_it": "markdown.limits markdown.code markdown.math markdown.links markdown.inline_html"
    " markdown.flanking markdown.markers markdown.tables markdown.segments"
    " markdown.parser markdown.stability markdown.blocks markdown.open_blocks markdown.open_leaves"
    " markdown.transcript markdown.open_formulas markdown.tail markdown.streaming",
    "pygments": "markdown.code",
    "anywidget": "display.widget",
    "IPython.display": "display.live display.table display.show",
    "tornado": "demo.server",
    "IPython.core": "ipython.magic ipython.namespace ipython.flags ipython.completion",
    "threading": "runtime.waiters runtime.threads runtime.loop display.widget display.live"
    " conversation",
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
}


def imports_of(module: str) -> Iterator[str]:
    """Dotted names of what a module imports, wherever in the file; its own package's absolute."""
    package = module.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = ["groq_magic", package] if node.level else []
            base = ".".join(filter(None, [*parts, node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def ours(module: str) -> set[str]:
    """The modules of groq_magic that a module imports."""
    found = set()
    for name in imports_of(module):
        parts = (
            name.removeprefix("groq_magic.").split(".") if name.startswith("groq_magic.") else []
        )
        candidates = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        found |= set(next(([one] for one in candidates if one in MODULES), parts[:1]))
    return found


def test_every_module_has_its_place() -> None:
    placed = {name for name in ORDER if name not in INSIDE}
    for package, names in INSIDE.items():
        placed |= {f"{package}.{name}" for name in names.split()}
    assert {name for name in MODULES if not re.fullmatch(r"\w+\.__(init|main)__", name)} == placed


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_upwards_only(module: str) -> None:
    package, _, name = module.rpartition(".")
    above = ORDER[: ORDER.index(package or name)]
    inside = INSIDE.get(package, "").split()
    siblings = inside[: inside.index(name)] if name in inside else inside
    for imported in ours(module):
        top, _, rest = imported.partition(".")
        assert rest in ("", *siblings) if top == package else top in above, imported


@pytest.mark.parametrize(("library", "modules"), ONLY_IN.items())
def test_a_library_is_imported_where_it_belongs(library: str, modules: str) -> None:
    importing = {
        module
        for module in MODULES
        if any(name == library or name.startswith(f"{library}.") for name in imports_of(module))
    }
    # For types alone, `__init__` names IPython's shell.
    assert importing - {"__init__"} == set(modules.split())


def test_the_public_api() -> None:
    assert groq_magic.__all__ == sorted(groq_magic.__all__)
    for name in groq_magic.__all__:
        assert getattr(groq_magic, name) is not None
    assert dir(groq_magic) == groq_magic.__all__
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = groq_magic.nothing_like_this


def test_every_error_is_public() -> None:
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
        ("import groq_magic.ipython.magic", "httpx markdown_it anywidget ipywidgets"),
        ("from groq_magic import stream", "markdown_it anywidget ipywidgets IPython"),
    ],
)
def test_what_an_import_leaves_out(statement: str, absent: str) -> None:
    check = f"{statement}; import sys; print(*({absent.split()} & sys.modules.keys()))"
    check = check.replace(str(absent.split()), str(set(absent.split())))
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_test_imports_another_test(path: Path) -> None:
    imports = ast.walk(ast.parse(path.read_text("utf-8")))
    modules = [node.module or "" for node in imports if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if re.match(r"tests\.(\w+\.test_|conftest)", module)]
