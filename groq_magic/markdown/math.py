r"""Which formulas MathJax may typeset: those of known commands, neither deep nor large.

MathJax keeps macros for the whole page, so that ``\let`` in one answer would change the
formulas of another notebook; ``\href`` and ``\rlap`` would lay a link or a forged line over
the page; and a hundred nested roots end the tab. What is not listed here is not typeset.
"""

from __future__ import annotations

import re

_LIMIT = 4_000  # characters; the longest of 800 formulas in real answers has 348
_DEPTH = 16  # groups in one another; MathJax's elements for about 100 end the tab
_SELDOM = 16  # commands that nest or go back without a brace

# Letters, operators, relations, arrows, delimiters, accents, fonts and layout of LaTeX and AMS.
_NAMES = r"""
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau
upsilon phi chi psi omega varepsilon vartheta varkappa varpi varrho varsigma varphi digamma Gamma
Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi
varPi varSigma varUpsilon varPhi varPsi varOmega aleph beth gimel daleth hbar hslash ell imath
jmath wp Re Im mho eth partial nabla infty emptyset varnothing forall exists nexists neg lnot top
bot angle measuredangle sphericalangle triangle triangledown square Box Diamond lozenge blacksquare
blacktriangle blacktriangledown blacklozenge bigstar diamondsuit heartsuit clubsuit spadesuit flat
natural sharp prime backprime surd checkmark maltese complement Finv Game Bbbk circledR circledS
degree celsius ohm micro dag ddag dagger ddagger S P copyright pounds yen backslash

pm mp times div cdot ast star circ bullet cap cup uplus sqcap sqcup vee lor wedge land setminus
smallsetminus wr diamond bigtriangleup bigtriangledown triangleleft triangleright lhd rhd unlhd
unrhd oplus ominus otimes oslash odot bigcirc amalg Cap Cup barwedge veebar doublebarwedge boxplus
boxminus boxtimes boxdot divideontimes ltimes rtimes leftthreetimes rightthreetimes curlywedge
curlyvee circleddash circledast circledcirc centerdot intercal dotplus sum prod coprod int iint
iiint iiiint oint oiint oiiint idotsint bigcap bigcup bigvee bigwedge bigoplus bigotimes bigodot
biguplus bigsqcup smallint arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom
inf injlim ker lg lim liminf limsup ln log max min Pr projlim sec sin sinh sup tan tanh varinjlim
varliminf varlimsup varprojlim bmod pmod mod pod

le leq ge geq ne neq lt gt ll gg lll ggg equiv sim simeq approx approxeq cong doteq doteqdot propto
varpropto prec succ preceq succeq precsim succsim preccurlyeq succcurlyeq in ni owns notin subset
supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq subseteqq supseteqq subsetneqq
supsetneqq Subset Supset sqsubset sqsupset sqsubseteq sqsupseteq vdash dashv models perp parallel
nparallel mid nmid shortmid shortparallel bowtie Join smile frown asymp leqslant geqslant leqq geqq
lesssim gtrsim lessapprox gtrapprox lessgtr gtrless lesseqgtr gtreqless nless ngtr nleq ngeq
nleqslant ngeqslant lneq gneq lneqq gneqq lnsim gnsim nprec nsucc npreceq nsucceq nsim ncong vDash
Vdash Vvdash nvdash nvDash nVdash nVDash triangleq trianglelefteq trianglerighteq vartriangle
vartriangleleft vartriangleright ntriangleleft ntriangleright therefore because eqcirc circeq
bumpeq Bumpeq risingdotseq fallingdotseq backsim backsimeq thicksim thickapprox between pitchfork
coloneqq eqqcolon colon not

to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow
longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow mapsto longmapsto
iff implies impliedby uparrow downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow
swarrow nwarrow hookleftarrow hookrightarrow leftharpoonup leftharpoondown rightharpoonup
rightharpoondown rightleftharpoons leftrightharpoons leadsto rightsquigarrow leftrightsquigarrow
nleftarrow nrightarrow nLeftarrow nRightarrow nleftrightarrow nLeftrightarrow leftleftarrows
rightrightarrows leftrightarrows rightleftarrows upuparrows downdownarrows dashleftarrow
dashrightarrow twoheadleftarrow twoheadrightarrow leftarrowtail rightarrowtail looparrowleft
looparrowright curvearrowleft curvearrowright circlearrowleft circlearrowright Lsh Rsh multimap
Lleftarrow Rrightarrow xleftarrow xrightarrow xleftrightarrow xRightarrow xLeftarrow
xLeftrightarrow xmapsto xrightleftharpoons

langle rangle lbrace rbrace lbrack rbrack lceil rceil lfloor rfloor lvert rvert lVert rVert vert
Vert lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner big Big bigg Bigg bigl
Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm middle dots ldots cdots vdots ddots
dotsb dotsc dotsi dotsm dotso bra ket braket Bra Ket Braket

hat widehat check tilde widetilde acute grave dot ddot dddot ddddot breve bar vec mathring overline
underline overbrace underbrace overleftarrow overrightarrow overleftrightarrow underleftarrow
underrightarrow underleftrightarrow overset underset stackrel mathbb mathcal mathrm mathbf mathit
mathsf mathtt mathfrak mathscr mathnormal boldsymbol bm pmb rm bf it sf tt cal text textrm textbf
textit textsf texttt textnormal mbox emph operatorname mathop mathbin mathrel mathord mathopen
mathclose mathpunct mathinner frac dfrac tfrac cfrac binom dbinom tbinom over choose sqrt boxed
fbox cancel bcancel xcancel substack limits nolimits hline nonumber notag tag phantom hphantom
vphantom mathstrut quad qquad enspace thinspace medspace thickspace space ce pu
"""
_SELDOM_COMMANDS = frozenset(
    ["displaystyle", "textstyle", "scriptstyle", "color", "textcolor", "!"]
)
_COMMANDS = _SELDOM_COMMANDS.union(_NAMES.split(), r",;:>{}|$%#&_\ ")
_ENVIRONMENTS = (
    r"(?:equation|align|gather|multline|flalign|eqnarray|[pbvBV]?matrix)\*?\}|(?:split|aligned"
    r"|gathered|smallmatrix|[dr]?cases)\}|alignat(?:ed|\*)?\}\s*\{\d\d?\}|subarray\}\s*\{[lcr]\}"
    r"|array\}\s*(?:\[[tcb]\])?\s*\{[lcr|: ]{1,99}\}"
)
_TOKEN = re.compile(
    rf"\\begin\{{(?P<begin>(?={_ENVIRONMENTS})\w+\*?)\}}|\\end\{{(?P<end>\w+\*?)\}}"
    r"|\\(?P<command>[a-zA-Z]+|.)|(?P<brace>[{}])|(?P<refused>[\\%]|\^\^)"
)
# Optional arguments that are more than a small space or a text, and colours that are no name.
_REFUSED = re.compile(
    r"\\\\\s*\*?\s*\[(?!(?:\d?\d(?:\.\d+)?(?:pt|px)|\dmm|[0-2]?(?:\.\d+)?(?:em|ex))\])"
    r"|\\[bx]?cancel\s*\[|\\(?:text)?color(?!\{(?:[a-zA-Z]{1,20}|#[0-9a-fA-F]{3,6})\})"
)


def is_safe_formula(tex: str) -> bool:
    r"""Whether a formula, without its delimiters, is harmless to typeset.

    >>> is_safe_formula(r"\frac{a}{b}"), is_safe_formula(r"\let\le\ge")
    (True, False)
    """
    if len(tex) > _LIMIT or _REFUSED.search(tex):
        return False
    closers: list[str] = []
    seldom = 0
    for token in _TOKEN.finditer(tex):
        seldom += token["command"] in _SELDOM_COMMANDS
        if not _follow(token, closers) or len(closers) > _DEPTH or seldom > _SELDOM:
            return False
    return not closers


_PAIRS = {"{": "}", r"\left": r"\right"}


def _follow(token: re.Match[str], closers: list[str]) -> bool:
    """Note what a token opens, in ``closers``, or closes; whether that is allowed."""
    if opened := token["begin"] or _PAIRS.get(token[0]):
        closers.append(opened)
    elif token["end"] or token[0] in _PAIRS.values():
        return bool(closers) and closers.pop() == (token["end"] or token[0])
    else:
        return token["command"] in _COMMANDS
    return True
