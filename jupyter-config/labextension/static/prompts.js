// @ts-check

/**
 * Prompts as prose: a code cell that begins with %%groq is edited as Markdown.
 *
 * It is an extension of the editors and leaves the cell's MIME type alone: so nothing that
 * JupyterLab sets when a kernel starts undoes it, and the notebook stays unchanged.
 *
 * @typedef {(name: string) => Promise<any>} Shared
 * @typedef {{from: number, to: number}} Range
 * @typedef {Range & {kind: "magic" | "flag" | "expression"}} Part
 */

const BEGINNING = /^\s*%%groq(?!\S)/;
const FLAG = /\s--?[a-z][\w-]*/g; // Safari before 16.4 has no lookbehind
const RAW = /\s--raw(?!\S)/;
const EXPRESSION = /\{\{(?=\s)[^]*?\s\}\}/g; // as interpolation.py finds them
const MARKDOWN = "text/x-ipythongfm";
const PYTHON = "text/x-ipython";
const KERNEL = "CompletionProvider:kernel";
const INDENT = "groq-magic:indent";
/** @type {any[]} */
const NONE = [];

/** @param {{sliceString(from: number, to: number): string}} doc */
const isPrompt = (doc) => BEGINNING.test(doc.sliceString(0, 1000));

/** @param {string} text of a prompt */
const endOfFirstLine = (text) => {
  const end = text.indexOf("\n", text.indexOf("%%groq"));
  return end < 0 ? text.length : end;
};

/**
 * @param {string} text of a prompt
 * @returns {Part[]} what is not prose
 */
const partsOf = (text) => {
  const line = text.slice(0, endOfFirstLine(text));
  const from = line.indexOf("%%groq");
  /** @type {(kind: Part["kind"], pattern: RegExp, where: string) => Part[]} */
  const find = (kind, pattern, where) =>
    [...where.matchAll(pattern)].map(({ 0: all, index }) => {
      return { from: index + all.search(/\S/), to: index + all.length, kind };
    });
  return [
    { from, to: from + "%%groq".length, kind: "magic" },
    ...find("flag", FLAG, line),
    ...(RAW.test(line) ? [] : find("expression", EXPRESSION, text)),
  ];
};

/**
 * What the editor of a prompt has beside the editor of code.
 *
 * @param {any} codemirror the exports of its packages
 * @param {{language: any}} [markdown] undefined until it is loaded
 * @param {{language: any}} [python]
 */
const proseOf = (codemirror, markdown, python) => {
  const { Decoration, EditorState, EditorView, Prec, ViewPlugin, keymap } = codemirror;

  /** @type {(state: any, position: number) => boolean} */
  const isInFence = (state, position) => {
    let node = codemirror.syntaxTree(state).resolveInner(position, -1);
    for (; node; node = node.parent) if (node.name === "FencedCode") return true;
    return false;
  };

  /** @param {any} state */
  const isInProse = (state) => {
    const { head } = state.selection.main;
    const text = state.doc.toString();
    const isAround = /** @param {Range} part */ ({ from, to }) => from < head && head < to;
    const isCode = isInFence(state, head) || partsOf(text).some(isAround);
    return head > endOfFirstLine(text) && !isCode;
  };

  /** @type {(from: number, to: number, name: string) => any} */
  const mark = (from, to, name) => Decoration.mark({ class: name }).range(from, to);

  /**
   * @param {string} text
   * @param {Range} expression
   */
  const tokensOf = (text, { from, to }) => {
    if (!python) return [];
    const inner = text.slice(from + "{{".length, to - "}}".length);
    const start = to - "}}".length - inner.trimStart().length;
    const tree = python.language.parser.parse(inner.trim());
    /** @type {any[]} */
    const tokens = [];
    codemirror.highlightTree(
      tree,
      codemirror.jupyterHighlightStyle,
      /** @type {(from: number, to: number, name: string) => any} */
      (first, last, name) => tokens.push(mark(start + first, start + last, name)),
    );
    return tokens;
  };

  /** @param {any} view */
  const decorationsOf = ({ state: { doc } }) => {
    const text = doc.toString();
    if (!isPrompt(doc)) return Decoration.none;
    const parts = partsOf(text);
    const line = Decoration.line({ class: "groq-line" }).range(doc.lineAt(parts[0].from).from);
    const expressions = parts.filter(({ kind }) => kind === "expression");
    const marks = parts.map(({ from, to, kind }) => mark(from, to, `groq-${kind}`));
    const tokens = expressions.flatMap((expression) => tokensOf(text, expression));
    return Decoration.set([line, ...marks, ...tokens], true);
  };

  class Decorations {
    /** @param {any} view */
    constructor(view) {
      this.decorations = decorationsOf(view);
    }

    /** @param {any} update */
    update({ docChanged, view }) {
      if (docChanged) this.decorations = decorationsOf(view);
    }
  }

  /** @param {any} view */
  const insertNewline = ({ dom, state, dispatch }) => {
    const isCompleting = dom.parentElement?.classList.contains("jp-mod-completer-active");
    const isInCode =
      isInFence(state, state.selection.main.head) ||
      dom.closest('[data-jp-interaction-mode="terminal"]'); // where Enter runs the cell
    if (isCompleting || isInCode || state.readOnly) return false;
    const change = state.replaceSelection(state.lineBreak);
    dispatch(state.update(change, { scrollIntoView: true, userEvent: "input" }));
    return true;
  };

  /** @type {(state: any, position: number) => any[]} */
  const closesNoBrackets = (state, position) =>
    isInFence(state, position) ? [] : [{ closeBrackets: { brackets: [] } }];

  return [
    markdown ? Prec.highest(markdown.language.extension) : [],
    Prec.highest(keymap.of([{ key: "Enter", run: insertNewline }])),
    Prec.highest(EditorState.languageData.of(closesNoBrackets)),
    Prec.highest(
      ViewPlugin.fromClass(Decorations, {
        decorations: /** @param {Decorations} plugin */ (plugin) => plugin.decorations,
      }),
    ),
    EditorView.editorAttributes.compute(["doc", "selection"], (/** @type {any} */ state) => ({
      class: isInProse(state) ? "groq-prompt groq-prose" : "groq-prompt",
    })),
    EditorView.lineWrapping,
  ];
};

/** The extension of all editors of code cells: it turns to prose when the first line says so. */
class Switch {
  #codemirror;
  #languages;
  #compartment;
  #prose;
  /** @type {Promise<void> | undefined} */
  #loading; // of the languages, when a prompt needs them first
  #isLoaded = false;

  /**
   * @param {any} codemirror
   * @param {any} languages JupyterLab's registry
   */
  constructor(codemirror, languages) {
    this.#codemirror = codemirror;
    this.#languages = languages;
    this.#compartment = new codemirror.Compartment();
    this.#prose = proseOf(codemirror);
  }

  /** @param {string} source of the cell */
  extension(source) {
    const { EditorState, Text, ViewPlugin } = this.#codemirror;
    const content = this.#contentFor(Text.of([source.slice(0, 1000)]));
    const loader = ViewPlugin.define((/** @type {any} */ view) => {
      this.#whenLoaded(view);
      return { update: () => this.#whenLoaded(view) };
    });
    return [
      this.#compartment.of(content),
      EditorState.transactionExtender.of((/** @type {any} */ transaction) => {
        return transaction.docChanged
          ? this.#change(transaction.startState, transaction.newDoc)
          : null;
      }),
      loader,
    ];
  }

  /** @param {any} doc */
  #contentFor(doc) {
    return isPrompt(doc) ? this.#prose : NONE;
  }

  /**
   * @param {any} state
   * @param {any} doc
   */
  #change(state, doc) {
    const content = this.#contentFor(doc);
    if (this.#compartment.get(state) === content) return null;
    return { effects: this.#compartment.reconfigure(content) };
  }

  /** @param {any} view */
  async #whenLoaded(view) {
    if (this.#isLoaded || !isPrompt(view.state.doc)) return;
    await (this.#loading ??= this.#load());
    const change = this.#change(view.state, view.state.doc);
    if (change && view.dom.isConnected) view.dispatch(change);
  }

  async #load() {
    const load = /** @param {string} mime */ (mime) => this.#languages.getLanguage(mime);
    const [markdown, python] = await Promise.all([MARKDOWN, PYTHON].map(load));
    this.#prose = proseOf(this.#codemirror, markdown.support, python.support);
    this.#isLoaded = true;
  }
}

/**
 * The kernel alone completes in a prompt: others would offer the words of its text as code.
 *
 * @param {Map<string, any>} providers
 */
const keepCompletersOut = (providers) => {
  for (const [id, provider] of providers) {
    if (id === KERNEL) continue;
    const fetch = provider.fetch.bind(provider);
    provider.fetch = async (
      /** @type {any} */ request,
      /** @type {any} */ context,
      /** @type {any[]} */ ...more
    ) => {
      const doc = context.editor?.editor?.state?.doc;
      const { offset } = request;
      if (doc && isPrompt(doc)) return { start: offset, end: offset, items: [] };
      return fetch(request, context, ...more);
    };
  }
};

/** @param {Shared} shared */
export const plugin = async (shared) => {
  const packages = ["state", "view", "language"].map((name) => `@codemirror/${name}`);
  packages.push("@lezer/highlight", "@jupyterlab/codemirror");
  const codemirror = Object.assign({}, ...(await Promise.all(packages.map(shared))));
  const { ICompletionProviderManager } = await shared("@jupyterlab/completer");
  return {
    id: "groq-magic:prompts",
    description: "Edits the prompts of %%groq as prose.",
    autoStart: true,
    requires: [codemirror.IEditorExtensionRegistry, codemirror.IEditorLanguageRegistry],
    optional: [ICompletionProviderManager],
    /** @type {(app: any, editors: any, languages: any, completion: any) => void} */
    activate: ({ commands, restored }, editors, languages, completion) => {
      restored.then(() => keepCompletersOut(completion?.getProviders?.() ?? new Map()));
      const prose = new Switch(codemirror, languages);
      editors.addExtension({
        name: "groq-magic:prompts",
        factory: (/** @type {any} */ { model }) => {
          if (model.type !== "code") return null;
          const extension = prose.extension(model.sharedModel.getSource());
          return codemirror.EditorExtensionRegistry.createImmutableExtension(extension);
        },
      });
      // In prose, Tab completes nothing: this binding is nearer to the text than JupyterLab's.
      commands.addCommand(INDENT, {
        label: "Indent the prompt",
        execute: () => {
          const view = codemirror.EditorView.findFromDOM(document.activeElement);
          if (!view || view.state.readOnly || !view.state.selection.main.empty) return;
          view.dispatch(view.state.replaceSelection(view.state.facet(codemirror.indentUnit)));
        },
      });
      commands.addKeyBinding({ command: INDENT, keys: ["Tab"], selector: ".groq-prose" });
    },
  };
};
