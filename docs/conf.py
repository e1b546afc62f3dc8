"""Sphinx: ``nox -s docs`` builds the site."""

project = "groq_magic"
author = "the groq_magic authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "groq_magic"
exclude_patterns = ["_build"]
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
