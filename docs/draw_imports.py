"""Draw who imports whom into architecture.md: ``nox -s docs`` runs it.

A box is a package or a module at the top; an arrow that others imply is left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import grimp

PAGE = Path(__file__).with_name("architecture.md")
BETWEEN = re.compile(r"(?<=<!-- imports -->\n).*?(?=<!-- end of imports -->)", re.DOTALL)


def arrows() -> set[tuple[str, str]]:
    """Pairs of importing and imported box."""
    graph = grimp.build_graph("groq_magic")
    boxes = sorted(graph.find_children("groq_magic"))
    for box in boxes:
        if graph.find_descendants(box):
            graph.squash_module(box)
    imports = graph.find_modules_directly_imported_by
    pairs = {(box, to) for box in boxes for to in imports(box) - {box}}
    return {pair for pair in pairs if not _is_implied(pair, pairs)}


def _is_implied(pair: tuple[str, str], pairs: set[tuple[str, str]]) -> bool:
    """Whether the second box is reached from the first by a longer way."""
    reached = {to for box, to in pairs if box == pair[0]} - {pair[1]}
    while further := {to for box, to in pairs if box in reached} - reached:
        reached |= further
    return pair[1] in reached


def main() -> None:
    """Write the picture between the marks."""
    names = sorted(f"    {a.split('.')[1]} --> {b.split('.')[1]}" for a, b in arrows())
    picture = "\n".join(["```mermaid", "graph TD", *names, "```", ""])
    page = PAGE.read_text("utf-8")
    PAGE.write_text(BETWEEN.sub(lambda _: picture, page), "utf-8")


if __name__ == "__main__":
    main()
