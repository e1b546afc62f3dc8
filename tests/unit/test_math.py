"""Which formulas are typeset."""

from __future__ import annotations

import pytest

from groq_magic.markdown import render
from groq_magic.markdown.math import is_safe_formula
from tests.support.attacks import UNSAFE_TEX
from tests.support.markdown import assert_law

SAFE_TEX = [
    r"a \le b, \; c \ge d \quad \sin^2 x + \cos^2 x = 1",
    r"\left\{ \frac{a}{\sqrt[3]{b}} \middle| \binom{n}{k} \right.",
    r"\mathbb{R} \ni \operatorname{Tr}\!\left(\hat\rho\right) \xrightarrow[n\to\infty]{} 0",
    r"\begin{aligned} a &= b \\ &= c \\[6pt] &= d \\[0.5em] &= e \tag{1} \end{aligned}",
    r"\begin{pmatrix}1 & 0 \\ 0 & 1\end{pmatrix}",
    r"f(x) = \begin{cases} 1 & \text{if $x > 0$, 50\% of $\$5$} \\ 0 \end{cases}",
    r"\left[\begin{array}{cc|c} 1 & 2 & 3 \\ \hline 4 & 5 & 6 \end{array}\right]",
    r"\begin{alignat*}{2} a &= b & c &= d \end{alignat*}",
    r"\boxed{\textcolor{red}{x} + \color{#00ff00}{y}}",
    r"\ce{2H2 + O2 -> 2H2O}",
    r"\sum_{i=1}^{n} \int_0^1 \overbrace{\vec{x}_i \cdot \mathbf{y}}^{\text{größer, 分数}} \, dx",
    "{" * 16 + "x" + "}" * 16,
    r"\!" * 16,
]


@pytest.mark.parametrize("tex", SAFE_TEX)
def test_usual_formulas_are_typeset(tex: str) -> None:
    assert is_safe_formula(tex)
    for text in (f"${tex}$", f"$$\n{tex}\n$$", f"- $$\n  {tex}\n  $$"):
        assert 'class="mathjax_process' in render(text)


@pytest.mark.parametrize("tex", UNSAFE_TEX)
def test_a_formula_that_reaches_beyond_itself_is_shown_as_its_source(tex: str) -> None:
    assert not is_safe_formula(tex)
    for text in (f"${tex}$", f"a $$ {tex} $$", f"\\({tex}\\)", f"$$\n{tex}\n$$", f"\\[{tex}\\]"):
        assert "mathjax_process" not in render(text)


def test_the_source_is_as_it_was_written() -> None:
    assert render(r"a $\def\x{<}$") == "<p>a <code>$\\def\\x{&lt;}$</code></p>\n"
    assert render(r"\(\def\x{}\)") == "<p><code>\\(\\def\\x{}\\)</code></p>\n"
    block = render("\\begin{align}\n\\def\\x{}\n\\end{align}\n\nb")
    assert block.startswith("<pre style=")
    assert ">\\begin{align}\n\\def\\x{}\n\\end{align}</code></pre>\n<p>b</p>" in block


def test_only_the_first_thousand_formulas_are_typeset() -> None:
    """MathJax holds up the page while it typesets a saved output."""
    deltas = ["$x$ and *y* " * 700, "\n\n- $z$\n", "- \\(x\\) " * 400]
    html = render("".join(deltas))
    assert html.count('class="mathjax_process') == 1_000
    assert html.count("\\(") == 1_101
    assert html.index("\\(z") < html.rindex("mathjax_process") < html.rindex("<span>\\(x\\)</span>")
    assert_law(iter(deltas))
