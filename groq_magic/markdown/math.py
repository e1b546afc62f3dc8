r"""Formulas: where they end, and which of them MathJax may typeset.

They are written as ``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]`` or ``\begin{…}…\end{…}`` and end
before the next blank line and within 2,000 characters, inline within a segment, so that no text
stays undecided for long.

MathJax keeps macros for the whole page: ``\let`` in one answer would change the formulas of
another notebook. ``\href`` and ``\rlap`` can put a link or false text over the page, and
a hundred nested roots crash the tab. Only formulas of the commands listed here are typeset.
"""

from __future__ import annotations

import re

from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from .code import code_frame, line_at
from .limits import is_within_reach

# MathJax typesets elements of the first class; its version 2, in nbconvert's pages, the second.
_CLASS = ' class="mathjax_process tex2jax_process"'
OPEN_MARK = "`" * 40  # around the source of an open formula; no text has as many
_SOURCE_STYLE = "font-family:var(--jp-code-font-family,monospace);font-size:.9em;opacity:.6"
_SOURCE_STYLE += ";padding:1px 4px;background:rgba(128,128,128,.1)"
_COUNT_LIMIT = 1_000  # formulas of a text; the real answer with the most has 119
_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}
_TYPESET = {"$$": ("\\[", "\\]"), "$": ("\\(", "\\)")}
# A fixed list bounds how many different closing delimiters a text can make us search for.
_BLOCK_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|align|alignat|gather|multline|flalign|eqnarray|split|array|cases"
    r"|[pbvBV]?matrix|aligned|gathered)\*?)\}"
)


def find_formula(source: str, start: int) -> tuple[str, int]:
    """The opening delimiter of the inline formula at ``start``, and where the formula ends.

    The end is -1 if there is no formula.
    """
    opener = "" if source[start] not in "$\\" else source[start : start + 2]
    opener = opener if opener in _CLOSERS else opener[:1]
    if opener not in _CLOSERS:
        return opener, -1
    begin = start + len(opener)
    end = source.find(_CLOSERS[opener], begin)
    while opener == "$" and end > 0 and source[end - 1] == "\\":  # of \$, which is in the formula
        end = source.find("$", end + 1)
    content = source[begin:end] if end > 0 else ""
    is_formula = bool(content.strip()) and "`" not in content
    if opener == "$":  # and not currency, such as "$5 and $6"
        is_tight = content == content.strip() or _is_surely_formula(content)
        is_formula &= is_tight and not source[end + 1 : end + 2].isdigit()
    return opener, end + len(opener) if is_formula else -1


def _is_surely_formula(content: str) -> bool:
    """Whether ``$ v_A $`` can be nothing else: it has a command or an index, and no words."""
    is_even = content[0] == content[-1] == " "
    words = re.search(r"[^\W\d_]{2}", re.sub(r"\\[A-Za-z]+|\{[^{}]*\}", "", content))
    return is_even and not words and bool(re.search(r"\\[a-z]|\w[_^]", content))


def inline_rule(state: StateInline, silent: bool) -> bool:
    """An inline formula."""
    opener, end = find_formula(state.src, state.pos)
    if not 0 <= end <= state.posMax:
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content = state.src[state.pos + len(opener) : end - len(opener)]
        token.markup = opener
    state.pos = end
    return True


def block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula with lines of its own; it may interrupt a paragraph."""
    first = line_at(state, start)
    found = block_delimiters(first)
    if not found or state.is_code_block(start):
        return False
    opener, closer = found
    first = first[len(opener) :]
    last = _last_line(state, start, end, first, closer)
    if last is None:
        return False
    if not silent:
        lines = [first, *(line_at(state, line) for line in range(start + 1, last + 1))]
        token = state.push("math_block", "", 0)
        token.block, token.map = True, [start, last + 1]
        token.content = "\n".join(lines).rstrip()[: -len(closer) if opener else None]
        token.markup = opener
        state.line = last + 1
    return True


def block_delimiters(text: str) -> tuple[str, str] | None:
    """What opens and closes the formula that a block begins with; an environment keeps its own."""
    environment = _BLOCK_ENVIRONMENT.match(text)
    if environment:
        return "", f"\\end{{{environment[1]}}}"
    return (text[:2], _CLOSERS[text[:2]]) if text[:2] in ("$$", "\\[") else None


def _last_line(state: StateBlock, start: int, end: int, first: str, closer: str) -> int | None:
    """The line that ends with ``closer``; None if a blank line or the container's end is first.

    Lines without ``closer`` are remembered, so that a text of many openers is read only once.
    """
    if first.strip() and closer in first:
        is_whole = 0 < first.index(closer) == len(first.rstrip()) - len(closer)
        # $$a$$ and $$b$$ are parts of a line
        return start if is_whole and is_within_reach(state, start, start) else None
    searched: dict[tuple[str, int], int] = state.env.setdefault("searched_lines", {})
    search = (closer, state.blkIndent)
    line = max(start + 1, searched.get(search, 0))
    while line < end and not (state.isEmpty(line) or state.sCount[line] < state.blkIndent):
        if not is_within_reach(state, start, line):
            break
        if line_at(state, line).rstrip().endswith(closer):
            return line
        line += 1
    searched[search] = line
    return None


def open_formula_html(token: Token) -> str:
    """The source of a block formula that is not closed yet."""
    return f'<div style="{_SOURCE_STYLE};white-space:pre-wrap">{escapeHtml(token.content)}</div>\n'


def inline_code_html(token: Token) -> str:
    """Inline code, or the source of a formula that is not closed yet."""
    if token.markup == OPEN_MARK:
        return f'<span style="{_SOURCE_STYLE}">{escapeHtml(token.content)}</span>'
    return f"<code>{escapeHtml(token.content)}</code>"


def formula_html(token: Token) -> str:
    """An element that MathJax typesets; if that is not safe, the source as code."""
    content, opener = escapeHtml(token.content), token.markup
    closer = _CLOSERS.get(opener, "")
    if not is_safe_formula(token.content):
        before, after = code_frame("") if token.block else ("<code>", "</code>")
        return f"{before}{opener}{content}{closer}{after}"
    opener, closer = _TYPESET.get(opener, (opener, closer))
    formula = f"{opener}{content}{closer}"
    if token.block:
        return f'<div{_CLASS} style="overflow-x:auto;overflow-y:hidden">{formula}</div>\n'
    return f"<span{_CLASS}>{formula}</span>"


def limit_formulas(html: str) -> str:
    """The HTML with only the first 1,000 formulas typeset; the page stands still meanwhile."""
    parts = html.split(_CLASS, _COUNT_LIMIT)
    parts[-1] = parts[-1].replace(_CLASS, "")
    return _CLASS.join(parts)


# The allow-list

_LIMIT = 4_000  # characters; the longest of 800 formulas in real answers has 348
_DEPTH = 16  # nested groups; about 100 crash the browser's tab
_RARE_LIMIT = 16  # of each formula's commands that nest, or go back, without a brace

# Letters, operators, relations, arrows, delimiters, accents, fonts and layout of LaTeX and AMS.
_NAMES = r"""
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau
upsilon phi chi psi omega varepsilon vartheta varkappa varpi varrho varsigma varphi digamma Gamma
Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi
varPi varSigma varUpsilon varPhi varPsi varOmega aleph beth gimel daleth hbar hslash ell imath jmath
wp Re Im mho eth partial nabla infty emptyset varnothing forall exists nexists neg lnot top bot
angle measuredangle sphericalangle triangle triangledown square Box Diamond lozenge blacksquare
blacktriangle blacktriangledown blacklozenge bigstar diamondsuit heartsuit clubsuit spadesuit flat
natural sharp prime backprime surd checkmark maltese complement Finv Game Bbbk circledR circledS
degree celsius ohm micro dag ddag dagger ddagger S P copyright pounds yen backslash pm mp times div
cdot ast star circ bullet cap cup uplus sqcap sqcup vee lor wedge land setminus smallsetminus wr
diamond bigtriangleup bigtriangledown triangleleft triangleright lhd rhd unlhd unrhd oplus ominus
otimes oslash odot bigcirc amalg Cap Cup barwedge veebar doublebarwedge boxplus boxminus boxtimes
boxdot divideontimes ltimes rtimes leftthreetimes rightthreetimes curlywedge curlyvee circleddash
circledast circledcirc centerdot intercal dotplus sum prod coprod int iint iiint iiiint oint oiint
oiiint idotsint bigcap bigcup bigvee bigwedge bigoplus bigotimes bigodot biguplus bigsqcup smallint
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg lim liminf
limsup ln log max min Pr projlim sec sin sinh sup tan tanh varinjlim varliminf varlimsup varprojlim
bmod pmod mod pod le leq ge geq ne neq lt gt ll gg lll ggg equiv sim simeq approx approxeq cong
doteq doteqdot propto varpropto prec succ preceq succeq precsim succsim preccurlyeq succcurlyeq in
ni owns notin subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq subseteqq
supseteqq subsetneqq supsetneqq Subset Supset sqsubset sqsupset sqsubseteq sqsupseteq vdash dashv
models perp parallel nparallel mid nmid shortmid shortparallel bowtie Join smile frown asymp
leqslant geqslant leqq geqq lesssim gtrsim lessapprox gtrapprox lessgtr gtrless lesseqgtr gtreqless
nless ngtr nleq ngeq nleqslant ngeqslant lneq gneq lneqq gneqq lnsim gnsim nprec nsucc npreceq
nsucceq nsim ncong vDash Vdash Vvdash nvdash nvDash nVdash nVDash triangleq trianglelefteq
trianglerighteq vartriangle vartriangleleft vartriangleright ntriangleleft ntriangleright therefore
because eqcirc circeq bumpeq Bumpeq risingdotseq fallingdotseq backsim backsimeq thicksim
thickapprox between pitchfork coloneqq eqqcolon colon not to gets leftarrow rightarrow
leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow longleftrightarrow
Longleftarrow Longrightarrow Longleftrightarrow mapsto longmapsto iff implies impliedby uparrow
downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow swarrow nwarrow hookleftarrow
hookrightarrow leftharpoonup leftharpoondown rightharpoonup rightharpoondown rightleftharpoons
leftrightharpoons leadsto rightsquigarrow leftrightsquigarrow nleftarrow nrightarrow nLeftarrow
nRightarrow nleftrightarrow nLeftrightarrow leftleftarrows rightrightarrows leftrightarrows
rightleftarrows upuparrows downdownarrows dashleftarrow dashrightarrow twoheadleftarrow
twoheadrightarrow leftarrowtail rightarrowtail looparrowleft looparrowright curvearrowleft
curvearrowright circlearrowleft circlearrowright Lsh Rsh multimap Lleftarrow Rrightarrow xleftarrow
xrightarrow xleftrightarrow xRightarrow xLeftarrow xLeftrightarrow xmapsto xrightleftharpoons langle
rangle lbrace rbrace lbrack rbrack lceil rceil lfloor rfloor lvert rvert lVert rVert vert Vert
lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner big Big bigg Bigg bigl Bigl
biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm middle dots ldots cdots vdots ddots dotsb
dotsc dotsi dotsm dotso bra ket braket Bra Ket Braket hat widehat check tilde widetilde acute grave
dot ddot dddot ddddot breve bar vec mathring overline underline overbrace underbrace overleftarrow
overrightarrow overleftrightarrow underleftarrow underrightarrow underleftrightarrow overset
underset stackrel mathbb mathcal mathrm mathbf mathit mathsf mathtt mathfrak mathscr mathnormal
boldsymbol bm pmb rm bf it sf tt cal text textrm textbf textit textsf texttt textnormal mbox emph
operatorname mathop mathbin mathrel mathord mathopen mathclose mathpunct mathinner frac dfrac tfrac
cfrac binom dbinom tbinom over choose sqrt boxed fbox cancel bcancel xcancel substack limits
nolimits hline nonumber notag tag phantom hphantom vphantom mathstrut quad qquad enspace thinspace
medspace thickspace space ce pu
"""
_RARE = frozenset({"displaystyle", "textstyle", "scriptstyle", "color", "textcolor", "!"})
_COMMANDS = _RARE.union(_NAMES.split(), r",;:>{}|$%#&_\ ")
_ENVIRONMENTS = (
    r"(?:equation|align|gather|multline|flalign|eqnarray|[pbvBV]?matrix)\*?\}|(?:split|aligned"
    r"|gathered|smallmatrix|[dr]?cases)\}|alignat(?:ed|\*)?\}\s*\{\d\d?\}|subarray\}\s*\{[lcr]\}"
    r"|array\}\s*(?:\[[tcb]\])?\s*\{[lcr|: ]{1,99}\}"
)
_TOKEN = re.compile(
    rf"\\begin\{{(?P<begin>(?={_ENVIRONMENTS})\w+\*?)\}}|\\end\{{(?P<end>\w+\*?)\}}"
    r"|\\(?P<command>[a-zA-Z]+|.)|(?P<brace>[{}])|(?P<refused>[\\%]|\^\^)"
)
# Optional arguments other than a small space, and colours other than a name or a number.
_REFUSED = re.compile(
    r"\\\\\s*\*?\s*\[(?!(?:\d?\d(?:\.\d+)?(?:pt|px)|\dmm|[0-2]?(?:\.\d+)?(?:em|ex))\])"
    r"|\\[bx]?cancel\s*\[|\\(?:text)?color(?!\{(?:[a-zA-Z]{1,20}|#[0-9a-fA-F]{3,6})\})"
)
_PAIRS = {"{": "}", r"\left": r"\right"}


def is_safe_formula(tex: str) -> bool:
    r"""Whether a formula, given without its delimiters, is safe to typeset.

    >>> is_safe_formula(r"\frac{a}{b}"), is_safe_formula(r"\let\le\ge")
    (True, False)
    """
    if len(tex) > _LIMIT or _REFUSED.search(tex):
        return False
    closers: list[str] = []
    rare = 0
    for token in _TOKEN.finditer(tex):
        rare += token["command"] in _RARE
        if not _is_allowed(token, closers) or len(closers) > _DEPTH or rare > _RARE_LIMIT:
            return False
    return not closers


def _is_allowed(token: re.Match[str], closers: list[str]) -> bool:
    """Whether the token is allowed after what is open; updates ``closers``."""
    if opened := token["begin"] or _PAIRS.get(token[0]):
        closers.append(opened)
    elif token["end"] or token[0] in _PAIRS.values():
        return bool(closers) and closers.pop() == (token["end"] or token[0])
    else:
        return token["command"] in _COMMANDS
    return True
