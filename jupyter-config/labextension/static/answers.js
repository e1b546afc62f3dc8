// @ts-check

/**
 * Answers in notebooks: buttons on them, commands that stop them, and a word in the status bar.
 *
 * An answer is an output that has both our class and our metadata; what a model writes can have
 * neither. What is saved stays as it is, but for the text so far of an answer that still runs.
 *
 * @typedef {(name: string) => Promise<any>} Shared gives a package that JupyterLab shares
 * @typedef {(name: string) => Promise<any>} Load gives a module from beside this one
 * @typedef {typeof import("../../../groq_magic/display/dom.js")} Dom
 * @typedef {{
 *   root: HTMLElement, panel: any, cell: any, index: number, output: any, model: string
 * }} Answer
 */

const ANSWER = ".groq-answer";
const COPY = ".groq-copy";
const STOP_BUTTON = ".groq-stop"; // only a live answer has one
const LIVE_TEXT = ".groq-text";
const TEXT = ":scope > .jp-RenderedMarkdown";
const ENDS = ["done", "stopped", "failed"];
const INTERRUPTS = ["notebook:interrupt-kernel", "kernelmenu:interrupt"];
const WIDGET = "application/vnd.jupyter.widget-view+json";
const LOST = "Error displaying widget"; // in ipywidgets' words
const UNFINISHED = "The notebook was saved while this answer was still arriving.";
const MAGIC = "%%groq";
const OUT = /^%%groq.*?(\s(?:-o|--out)[\s=]+\w+)/; // in the first line
const NOT_KNOWN = "The kernel does not have this answer any longer. Run the cell again.";
const SILENT = "silent-change"; // JupyterLab then changes no view
const SCROLLED = "jp-mod-outputsScrolled"; // a cell whose outputs have a scroller
const STOP = "groq-magic:stop";
const STOP_ALL = "groq-magic:stop-all";
const GO_TO = "groq-magic:go-to";

/**
 * @param {Node} node
 * @param {any} panel
 * @returns {{cell: any, index: number, output: any} | null} the output that this node is part of
 */
const outputAt = (node, panel) => {
  const shows = /** @param {{node: Node}} widget */ (widget) => widget.node.contains(node);
  const cell = panel.content.widgets.find(shows);
  const index = cell?.outputArea?.widgets.findIndex(shows) ?? -1;
  return index < 0 ? null : { cell, index, output: cell.outputArea.model.get(index) };
};

/**
 * @param {HTMLElement} root
 * @param {any} panel
 * @returns {Answer | null} the answer that this element shows
 */
const answerAt = (root, panel) => {
  const found = outputAt(root, panel);
  const made = found?.output.metadata.groq;
  if (!made || root.parentElement?.closest(ANSWER)) return null;
  return { root, panel, ...found, model: String(made.model) };
};

/**
 * Whether it runs, and its output is still the one that shows it.
 *
 * @param {Answer} answer
 */
const isRunning = ({ root, cell, index, output }) =>
  !cell.isDisposed &&
  cell.outputArea.model.get(index) === output &&
  !ENDS.includes(root.dataset.state ?? "");

/** @param {Answer} answer */
const stop = ({ root }) =>
  /** @type {HTMLElement | null} */ (root.querySelector(STOP_BUTTON))?.click();

/**
 * Stop these answers, the last one first: a turn that waits for an earlier one is not sent then.
 *
 * @param {Answer[]} running
 */
const stopAll = (running) => [...running].reverse().forEach(stop);

/**
 * Go to the next of these answers, from the active cell on.
 *
 * @param {Answer[]} running
 * @param {any} tracker
 * @param {any} shell
 */
const goTo = async (running, tracker, shell) => {
  const next = running.findIndex(({ cell }) => cell === tracker.activeCell) + 1;
  const { panel, cell } = running[next % running.length] ?? {};
  if (!panel) return;
  shell.activateById(panel.id);
  panel.content.activeCellIndex = panel.content.widgets.indexOf(cell);
  await panel.content.scrollToCell(cell, "center");
};

/**
 * Whether a part of a cell's answer is missing, and the reader may run the cell.
 *
 * @param {Answer} answer
 */
const isCut = ({ cell, output }) => {
  const { state, finish_reason: reason } = output.metadata.groq;
  const isEarly = state === "stopped" || state === "failed" || reason === "length";
  const isOfMagic = cell.model.sharedModel.getSource().startsWith(MAGIC);
  return isEarly && isOfMagic && output.trusted && Boolean(output.data["text/plain"]);
};

/**
 * Whether the kernel has the answer of a cell, which a run of the cell would remove.
 *
 * @param {any} kernel
 * @param {string} id
 */
const canResume = async (kernel, id) => {
  const show = '__import__("groq_magic.display.show", fromlist=["can_resume"])';
  const user_expressions = { known: `${show}.can_resume(${JSON.stringify(id)})` };
  const asked = kernel?.requestExecute({ code: "", silent: true, user_expressions });
  const reply = await asked?.done.catch(() => null); // the kernel may be restarted meanwhile
  return reply?.content.user_expressions?.known?.data?.["text/plain"] === "True";
};

/** The buttons on an answer and on its code. */
class Buttons {
  #dom;
  #notebookActions;
  #outputArea;

  /**
   * @param {Dom} dom
   * @param {any} notebookActions
   * @param {any} outputArea
   */
  constructor(dom, notebookActions, outputArea) {
    this.#dom = dom;
    this.#notebookActions = notebookActions;
    this.#outputArea = outputArea;
  }

  /** @param {Answer} answer */
  dress(answer) {
    const { root, panel, cell, model } = answer;
    const stop = root.querySelector(STOP_BUTTON);
    const place = this.#dom.element("div", "groq-buttons", root);
    if (stop) stop.before(place);
    else root.prepend(place);
    const number = `cell ${panel.content.widgets.indexOf(cell) + 1}`;
    stop?.setAttribute("aria-label", `Stop the answer of ${model} in ${number}`);
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `Answer of ${model} in ${number}`);
    const { buttonIn } = this.#dom;
    const copy = buttonIn(
      place,
      "",
      "Copy",
      `Copy the answer of ${model} in ${number} as Markdown`,
    );
    copy.addEventListener("click", () => this.#copy(copy, answer));
    const again = buttonIn(place, "", "Run again", `Run ${number} again for ${model}`);
    again.addEventListener("click", () => this.#runAgain(answer));
    again.hidden = !answer.output.trusted; // a stranger's file cannot lure a click that runs it
    if (isCut(answer)) {
      const name = `Continue the answer of ${model} in ${number}`;
      const goOn = buttonIn(place, "", "Continue", name);
      goOn.addEventListener("click", () => this.#goOn(goOn, answer));
    }
    if (stop)
      return root.querySelectorAll(COPY).forEach((button) => this.dressCode(button, answer));
    this.#dom.addCopyButtons(root);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(COPY))) {
      button.addEventListener("click", () => this.#dom.copyCode(button));
      this.dressCode(button, answer);
    }
  }

  /**
   * @param {Element} copy the button of a code block
   * @param {Answer} answer
   */
  dressCode(copy, answer) {
    const place = /** @type {Element} */ (copy.parentElement);
    if (place.childElementCount > 1) return;
    const name = "Insert this code below, as a new cell";
    const insert = this.#dom.buttonIn(place, "", "Insert below", name);
    place.prepend(insert);
    insert.addEventListener("click", () => this.#insertBelow(insert, answer));
  }

  /**
   * @param {HTMLElement} button
   * @param {Answer} answer
   */
  #copy(button, { root, output }) {
    const text = output.data["text/plain"];
    if (root.querySelector(STOP_BUTTON))
      root.dispatchEvent(new CustomEvent("groq-copy", { detail: button }));
    else this.#dom.copy(button, text, root);
  }

  /** @param {Answer} answer */
  #runAgain({ panel, cell }) {
    this.#select(panel.content, cell);
    return this.#notebookActions.run(panel.content, panel.sessionContext);
  }

  /**
   * Let the answer grow on in place: the cell runs with `--continue`, which its text does not have.
   *
   * @param {HTMLButtonElement} button
   * @param {Answer} answer
   */
  async #goOn(button, { panel, cell }) {
    const { sessionContext } = panel;
    const { id: cellId, sharedModel } = cell.model;
    button.disabled = true; // a second run would remove what the first one shows
    if (await canResume(sessionContext.session?.kernel, cellId)) {
      const [, variable] = sharedModel.getSource().match(OUT) ?? ["", ""];
      const code = `${MAGIC} --continue${variable}\nContinue`;
      return this.#outputArea.execute(code, cell.outputArea, sessionContext, { cellId });
    }
    button.disabled = false;
    button.title = NOT_KNOWN;
    this.#dom.say(NOT_KNOWN);
  }

  /**
   * @param {Element} button
   * @param {Answer} answer
   */
  async #insertBelow(button, { panel, cell }) {
    const [text] = this.#dom.visibleText(this.#dom.codeOf(button));
    const notebook = panel.content;
    this.#select(notebook, cell);
    this.#notebookActions.insertBelow(notebook);
    notebook.activeCell.model.sharedModel.setSource(text.replace(/\n$/, ""));
    await notebook.activeCell.ready;
    notebook.mode = "edit";
  }

  /**
   * @param {any} notebook
   * @param {any} cell
   */
  #select(notebook, cell) {
    notebook.deselectAll();
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
  }
}

/** Keeps what a reader has unfolded and selected in a live answer, where its end replaces it. */
class Reader {
  /** @type {WeakMap<object, Map<number, HTMLElement>>} */
  #live = new WeakMap(); // by cell and output
  /** @type {{text: Element, from: number, to: number} | null} */
  #selected = null;

  constructor() {
    document.addEventListener("selectionchange", () => this.#remember());
  }

  /** @param {Answer} answer that is live */
  sees({ root, cell, index }) {
    if (!this.#live.has(cell)) this.#live.set(cell, new Map());
    this.#live.get(cell)?.set(index, root);
  }

  /** @param {Answer} answer that is static */
  goesOn({ root, cell, index }) {
    const before = this.#live.get(cell)?.get(index);
    if (!before || before.isConnected) return;
    this.#live.get(cell)?.delete(index);
    // Notebook 7 gives an output of over 100 lines a scroller: what is read would jump away.
    if (cell.model.getMetadata("scrolled") === undefined) cell.removeClass(SCROLLED);
    const folds = [...before.querySelectorAll("details")].filter(({ hidden }) => !hidden);
    root.querySelectorAll("details").forEach((fold, number) => {
      fold.open = folds[number]?.open ?? false;
    });
    const selected = this.#selected;
    const text = root.querySelector(TEXT);
    if (selected && text && before.contains(selected.text)) select(text, selected);
  }

  #remember() {
    const range = getSelection()?.rangeCount ? getSelection()?.getRangeAt(0) : null;
    const text = closest(range?.commonAncestorContainer, LIVE_TEXT);
    if (!range || !text || range.collapsed) {
      // The end of the answer takes its text out of the page, and the selection with it.
      if (this.#selected?.text.isConnected) this.#selected = null;
      return;
    }
    const before = range.cloneRange();
    before.setStart(text, 0);
    const to = before.toString().length;
    this.#selected = { text, from: to - range.toString().length, to };
  }
}

/**
 * @param {Node | null | undefined} node
 * @param {string} selector
 */
const closest = (node, selector) =>
  (node instanceof Element ? node : node?.parentElement)?.closest(selector);

/**
 * Select the characters between two positions of a text.
 *
 * @param {Element} text
 * @param {{from: number, to: number}} positions
 */
const select = (text, { from, to }) => {
  const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  let end = 0;
  while (walker.nextNode() && end < to) {
    const node = /** @type {Text} */ (walker.currentNode);
    const begin = end;
    end += node.length;
    if (begin <= from && from < end) range.setStart(node, from - begin);
    if (begin < to && to <= end) range.setEnd(node, to - begin);
  }
  getSelection()?.removeAllRanges();
  getSelection()?.addRange(range);
};

/** Finds the answers of the notebooks on the page, and tells when what runs has changed. */
class Answers {
  #buttons;
  #dom;
  #onChange;
  #reader = new Reader();
  /** @type {Map<HTMLElement, Answer>} */
  #live = new Map();
  /** @type {WeakSet<Element>} */
  #dressed = new WeakSet();
  #running = 0;
  /** @type {Set<string>} */
  #triedAgain = new Set();
  /** @type {any} */
  #expected = null;

  /**
   * @param {Buttons} buttons
   * @param {Dom} dom
   * @param {() => void} onChange
   */
  constructor(buttons, dom, onChange) {
    this.#buttons = buttons;
    this.#dom = dom;
    this.#onChange = onChange;
  }

  /** @returns {Answer[]} */
  get running() {
    return [...this.#live.values()].filter(isRunning);
  }

  /**
   * The answer that a cell will show is scrolled into sight, if the reader stays at the cell.
   *
   * @param {any} cell
   */
  expect(cell) {
    this.#expected = cell;
  }

  /** @param {any} panel */
  watch(panel) {
    const observer = new MutationObserver((records) => this.#changed(records, panel));
    const what = { childList: true, subtree: true, attributeFilter: ["data-state"] };
    observer.observe(panel.content.node, what);
    panel.disposed.connect(() => {
      observer.disconnect();
      this.#count();
    });
    panel.context.saveState.connect((/** @type {any} */ _, /** @type {string} */ state) => {
      if (state === "started" && !panel.isDisposed) this.#putIntoFile(panel);
    });
    this.#find(panel.content.node, panel);
  }

  /**
   * @param {MutationRecord[]} records
   * @param {any} panel
   */
  #changed(records, panel) {
    for (const { addedNodes, target } of records) {
      for (const node of addedNodes) {
        if (node instanceof Element) this.#find(node, panel);
        else if (node.textContent?.startsWith(LOST)) this.#mendLost(target, panel);
      }
    }
    this.#count();
  }

  #count() {
    for (const [root, answer] of this.#live) if (!isRunning(answer)) this.#live.delete(root);
    if (this.#live.size === this.#running) return;
    this.#running = this.#live.size;
    this.#onChange();
  }

  /**
   * Put what has come so far into the file, which is about to be saved. No view changes.
   *
   * @param {any} panel
   */
  #putIntoFile(panel) {
    for (const { root, cell, index, output } of this.running) {
      const { sharedModel } = cell.model;
      const isSilent = "removeStreamOutput" in sharedModel && !panel.context.model.collaborative;
      if (!isSilent || !panel.content.widgets.includes(cell)) continue;
      const saved = output.toJSON();
      const { data } = this.#dom.outputOf(root, this.#dom.noteOf("Not finished.", UNFINISHED));
      const outputs = [{ ...saved, data: { ...saved.data, ...data } }];
      sharedModel.updateOutputs(index, index + 1, outputs, SILENT);
    }
  }

  /**
   * Mend an output that says "Error displaying widget".
   *
   * The manager of ipywidgets gives up a model that arrives when it has just stopped asking: with
   * a kernel, the output is made once more. Without one, what the file has is shown.
   *
   * @param {Node} node
   * @param {any} panel
   */
  async #mendLost(node, panel) {
    const isOurs = node instanceof Element && node.matches(".jupyter-widgets");
    if (!isOurs || node.closest(ANSWER)) return;
    const { cell, index, output } = outputAt(node, panel) ?? {};
    if (!output?.metadata.groq) return;
    const id = output.data[WIDGET]?.model_id;
    const hasKernel = panel.sessionContext.session?.kernel;
    const isShared = panel.context.model.collaborative; // two pages would make two outputs
    if (hasKernel && !isShared && !this.#triedAgain.has(id)) {
      this.#triedAgain.add(id);
      return cell.outputArea.model.set(index, output.toJSON());
    }
    if (!output.data["text/html"]) return;
    const renderer = panel.content.rendermime.createRenderer("text/html");
    await renderer.renderModel(output);
    node.replaceChildren(renderer.node);
    panel.content.rendermime.latexTypesetter?.typeset(renderer.node);
  }

  /**
   * @param {Element} node
   * @param {any} panel
   */
  #find(node, panel) {
    const roots = node.matches(ANSWER) ? [node] : node.querySelectorAll(ANSWER);
    for (const root of roots) this.#dress(/** @type {HTMLElement} */ (root), panel);
    const root = roots.length > 0 ? null : node.closest(ANSWER);
    const answer = this.#live.get(/** @type {HTMLElement} */ (root));
    if (!answer) return;
    const copies = node.matches(COPY) ? [node] : node.querySelectorAll(COPY);
    for (const copy of copies) this.#buttons.dressCode(copy, answer);
  }

  /**
   * @param {HTMLElement} root
   * @param {any} panel
   */
  #dress(root, panel) {
    const answer = this.#dressed.has(root) ? null : answerAt(root, panel);
    if (!answer) return;
    this.#dressed.add(root);
    this.#buttons.dress(answer);
    if (root.querySelector(STOP_BUTTON)) this.#follow(answer);
    else this.#reader.goesOn(answer);
  }

  /** @param {Answer} answer */
  #follow(answer) {
    const { root, panel, cell } = answer;
    this.#live.set(root, answer);
    this.#reader.sees(answer);
    if (cell !== this.#expected || cell !== panel.content.activeCell) return;
    this.#expected = null;
    root.dispatchEvent(new Event("groq-follow"));
  }
}

/**
 * The words in the status bar: a click goes to the next answer that runs.
 *
 * @param {Shared} shared
 * @param {any} commands
 */
const makeStatus = async (shared, commands) => {
  const { Widget } = await shared("@lumino/widgets");
  const { Signal } = await shared("@lumino/signaling");
  const button = document.createElement("button");
  button.className = "groq-running jp-mod-highlighted";
  button.title = "Go to the answer that runs";
  button.addEventListener("click", () => commands.execute(GO_TO));
  const item = new Widget({ node: button });
  const activeStateChanged = new Signal(item);
  let count = 0;
  return {
    item: { item, align: "left", rank: 900, isActive: () => count > 0, activeStateChanged },
    /** @param {number} running */
    show: (running) => {
      count = running;
      button.textContent = count === 1 ? "1 answer runs" : `${count} answers run`;
      activeStateChanged.emit(undefined);
    },
  };
};

/**
 * @param {Shared} shared
 * @param {Load} load
 */
export const plugin = async (shared, load) => {
  const { INotebookTracker, NotebookActions } = await shared("@jupyterlab/notebook");
  const { OutputArea } = await shared("@jupyterlab/outputarea");
  const { ICommandPalette } = await shared("@jupyterlab/apputils");
  const { IStatusBar } = await shared("@jupyterlab/statusbar");
  const dom = await load("dom.js");
  return {
    id: "groq-magic:answers",
    description: "Buttons on answers, and commands that stop them.",
    autoStart: true,
    requires: [INotebookTracker],
    optional: [ICommandPalette, IStatusBar],
    /** @type {(app: any, tracker: any, palette: any, statusBar: any) => Promise<void>} */
    activate: async (app, tracker, palette, statusBar) => {
      const { commands, contextMenu, shell } = app;
      const status = await makeStatus(shared, commands);
      const changed = () => {
        status.show(answers.running.length);
        commands.notifyCommandChanged();
      };
      const answers = new Answers(new Buttons(dom, NotebookActions, OutputArea), dom, changed);
      tracker.forEach((/** @type {any} */ panel) => answers.watch(panel));
      tracker.widgetAdded.connect((/** @type {any} */ _, /** @type {any} */ panel) =>
        answers.watch(panel),
      );
      NotebookActions.executionScheduled.connect(
        (/** @type {any} */ _, /** @type {any} */ { cell }) => answers.expect(cell),
      );
      statusBar?.registerStatusItem("groq-magic:running", status.item);

      const inCell = () => answers.running.filter(({ cell }) => cell === tracker.activeCell);
      commands.addCommand(STOP, {
        label: "Stop answer",
        caption: "Stop the answer that the active cell shows; its text is kept",
        isEnabled: () => inCell().length > 0,
        isVisible: () => inCell().length > 0,
        execute: () => stopAll(inCell()),
      });
      commands.addCommand(STOP_ALL, {
        label: "Stop all answers",
        caption: "Stop the answers of all notebooks; their texts are kept",
        isEnabled: () => answers.running.length > 0,
        execute: () => stopAll(answers.running),
      });
      commands.addCommand(GO_TO, {
        label: "Go to the next answer that runs",
        isEnabled: () => answers.running.length > 0,
        execute: () => goTo(answers.running, tracker, shell),
      });
      for (const command of [STOP, STOP_ALL, GO_TO])
        palette?.addItem({ command, category: "Groq" });
      commands.addKeyBinding({ command: STOP, keys: ["Accel ."], selector: ".jp-Notebook" });
      contextMenu?.addItem({ command: STOP, selector: ".jp-CodeCell", rank: 0 });

      // Where the kernel is idle, an interrupt would do nothing: it stops the answers.
      commands.commandExecuted.connect((/** @type {any} */ _, /** @type {any} */ { id }) => {
        const panel = tracker.currentWidget;
        if (
          shell.currentWidget !== panel ||
          !INTERRUPTS.includes(id) ||
          panel?.sessionContext.session?.kernel?.status !== "idle"
        )
          return;
        stopAll(answers.running.filter((answer) => answer.panel === panel));
      });
    },
  };
};
