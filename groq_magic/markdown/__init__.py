r"""Growing Markdown to safe HTML, at a cost that does not grow with the text.

`render` gives the HTML of a whole text. `StreamingMarkdown` takes a text delta by delta, and
each flush gives the operations that bring a view up to date. `code_blocks` gives the code of a
text. The package imports nothing else of groq_magic.

>>> from groq_magic.markdown import StreamingMarkdown, render
>>> markdown = StreamingMarkdown()
>>> markdown.feed("# Hi\n\nSome **bo")
>>> for operation in markdown.flush():
...     print(operation)
('settle', '<h1 class="jp-toc-ignore">Hi</h1>\n')
('tail', '<p>Some <strong>bo</strong></p>\n', '')
>>> markdown.feed("ld** text")
>>> markdown.close()[0]
('settle', '<p>Some <strong>bold</strong> text</p>\n')
>>> markdown.html == render("# Hi\n\nSome **bold** text")
True
"""

from .parser import code_blocks, render
from .streaming import StreamingMarkdown
from .transcript import Operation

__all__ = ["Operation", "StreamingMarkdown", "code_blocks", "render"]
