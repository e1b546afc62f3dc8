"""Open blocks, which settle part by part, and of which one can be in another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from markdown_it.token import Token

from .blocks import HIDDEN, NO_LEVEL, Block, Part, begin_of_item, settled_part
from .parser import Environment, parse_blocks, parse_inline, to_html
from .stability import Parsed, children_of, is_blank, lines_of, start_of

Tokens = list[Token]


class Split(NamedTuple):
    """The parts of an open block that are settled now, the others, and where the others begin.

    That place is a line, and how many characters of it are settled. ``is_over``: the block ends
    there. ``is_changed``: what was settled before looks different.
    """

    parts: list[Tokens]
    rest: list[Tokens]
    line: int
    column: int = 0
    is_over: bool = False
    is_changed: bool = False


class OpenBlock(Block, ABC):
    """A block that grows part by part; ``parent`` is the one that it is in.

    The source of what is settled is not kept. In its place ``head`` is parsed, so that what
    follows is parsed as before.
    """

    def __init__(self, parent: OpenBlock | None, before: str = "", after: str = "") -> None:
        super().__init__([], before, after)
        self.parent = parent
        self.head: list[str] = []
        self.indent: str = parent.indent + parent.inside if parent else ""
        """What its lines begin with."""
        self.inside: str = ""
        """What the lines in it begin with, behind that."""
        self.offset: int = parent.offset if parent else 0
        """The column of what is in it, counted from where its quote begins."""
        self.quotes: int = parent.quotes if parent else 0
        """In how many quotes its content is."""
        self.inner: OpenBlock | None = None
        """The open block in it, or the one that was."""
        self.rest: list[Tokens] = []
        """The parts that are not settled."""
        self.is_new = True
        """Whether its tokens are those of its source, not yet of its head."""
        self._follows_text = isinstance(parent, OpenItem) and parent.ends_with_text

    @property
    def is_element(self) -> bool:
        """Whether it has tags of its own."""
        return True

    @property
    def level(self) -> int:
        """The level of the paragraphs in it that a tight list hides."""
        return NO_LEVEL

    def html(self, tail: str = "") -> str:
        """The HTML; text without tags is followed by a line end."""
        is_text_before = self._follows_text and self.parent and not self.parent.is_loose
        return "\n" * bool(is_text_before) + super().html(tail)

    def part(self, tokens: Tokens, env: Environment) -> Part:
        """A settled part."""
        return settled_part(tokens, env, self.level)

    @abstractmethod
    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """Split the tokens of the block; if it is over, all parts are settled."""


class Container(OpenBlock):
    """A block of blocks: all but the last one that has begun are settled."""

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        blocks = children_of(tokens[1:-1], tokens[0].level + 1)[0 if self.is_new else 1 :]
        lines = lines_of(tokens[0])
        line = lines[1] if is_over else self._settled_line(blocks, parsed, lines)
        count = sum(start_of(block) < line for block in blocks)
        return Split(blocks[:count], blocks[count:], line)

    def _settled_line(self, blocks: list[Tokens], parsed: Parsed, lines: Sequence[int]) -> int:
        """The line before which the blocks are settled; -1 if none has begun."""
        return parsed.settled_inside(blocks, lines, self.quotes)


class OpenQuote(Container):
    """A quote, whose head has an empty heading: any block can follow it."""

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        super().__init__(parent, to_html(tokens[:1], env), to_html(tokens[-1:], env))
        self.head, self.inside = ["> #"], "> "
        self.offset = 0
        self.quotes += 1


class OpenItem(Container):
    """A list item, whose head has an empty heading, too."""

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        self._begins_with_text = tokens[1].type == "paragraph_open"
        if self._begins_with_text and tokens[2].content.startswith("["):
            parse_inline(tokens[:3], env)  # finds the box of a task
        super().__init__(parent, to_html(tokens[:1], env), to_html(tokens[-1:], env))
        marker = tokens[0].info + tokens[0].markup
        width = tokens[0].meta["offset"] - self.offset
        gap = min(4, width - len(marker))
        self.head = [f"{marker}{' ' * gap}#".rjust(width + 1)]
        self.inside = " " * width
        self.offset += width

    @property
    def is_loose(self) -> bool:
        """Whether its list is loose."""
        return self.parent is not None and self.parent.is_loose

    @property
    def level(self) -> int:
        """The level of the paragraphs of its list."""
        return self.parent.level if self.parent else NO_LEVEL

    @property
    def ends_with_text(self) -> bool:
        """Whether the last part is a paragraph."""
        return bool(self.parts) and self.parts[-1].is_text

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        first = self.parts[0] if self.parts else self.inner
        begins_with_text = first.is_text if first else self._begins_with_text
        is_tag_next = self.is_loose or not begins_with_text
        begin = self.before if is_tag_next else self.before.removesuffix("\n")
        return "".join((begin, self.html_of(self.parts), tail, self.after))

    def part(self, tokens: Tokens, env: Environment) -> Part:
        """A settled part."""
        before = [] if self.parts else [begin_of_item()]
        before += [HIDDEN] * self.ends_with_text
        return super().part([*before, *tokens], env)


class OpenList(Container):
    """A list: an item is settled when the first line of a later one is complete.

    The head is an item whose content begins further right than any marker of the list can. Its
    paragraph shows whether the list is loose.
    """

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        super().__init__(parent, to_html(tokens[:1], env), to_html(tokens[-1:], env))
        self._marker = ("1" if tokens[0].type == "ordered_list_open" else "") + tokens[0].markup
        self.head = [f"{self._marker}    x"]
        self._level = tokens[0].level + 2
        self._is_loose = self._is_settled_loose = False

    @property
    def is_loose(self) -> bool:
        """Whether its list is loose."""
        return self._is_loose

    @property
    def level(self) -> int:
        """The level of the paragraphs of its list."""
        return self._level

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        was_loose = self._is_loose
        texts = (token for token in tokens if token.type == "paragraph_open")
        is_loose = any(token.level == self._level and not token.hidden for token in texts)
        self._is_loose = self._is_settled_loose or is_loose
        split = super().split(tokens, parsed, is_over=is_over)
        return split._replace(is_changed=self._is_loose != was_loose)

    def _settled_line(self, blocks: list[Tokens], parsed: Parsed, lines: Sequence[int]) -> int:
        del lines
        begun = (start_of(item) for item in blocks if parsed.has_begun_item(item))
        return max(begun, default=-1)

    def settle_looseness(self, lines: list[str]) -> None:
        """Note whether the list is loose for what is settled, which ends with these lines.

        As it is, it may be so only for a last item that becomes another block.
        """
        if self._is_settled_loose or not (self._is_loose or self.is_new):
            return
        while lines and is_blank(lines[-1], self.quotes):
            lines = lines[:-1]
        tokens = parse_blocks("\n".join([*lines, f"{self.indent}{self._marker} x"]), {})
        texts = [token for token in tokens if token.type == "paragraph_open"]
        self._is_settled_loose = not texts[-1].hidden
