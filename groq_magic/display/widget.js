// @ts-check

/**
 * The browser's half of the live view. It shows what the kernel's numbered batches say; when a
 * number is missing, it asks for a snapshot. The kernel escapes all HTML. widget.py describes
 * the messages.
 *
 * @typedef {{
 *   state: string, header: string, note: string, thought: string, thinking: boolean,
 *   tools?: string, calls?: string
 * }} Status
 * @typedef {[string, ...any]} Operation
 * @typedef {{
 *   type: "batch", n: number, text: Operation[], reasoning: Operation[], status: Status
 * }} Batch
 * @typedef {{
 *   settled: string[], open: string, inner: number, tail: string, parts: string[]
 * }} Shown
 * @typedef {{
 *   type: "snapshot", n: number, text: Shown, reasoning: Shown, status: Status, model_id: string
 * }} Snapshot
 * @typedef {{type: "static", view: string, output: object}} Static
 * @typedef {{type: "text", text: string}} Text
 * @typedef {{
 *   send(content: object): void,
 *   get(name: string): any,
 *   on(event: string, handler: (message: any) => void): void,
 *   off(event: string, handler: (message: any) => void): void,
 *   widget_manager?: any
 * }} Model
 */

import { addCopyButtons, buttonIn, copy, copyCode, element, noteOf, outputOf, say } from "./dom.js";

const ASK_AGAIN_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const SILENCE_MS = 3000; // the kernel paints at least once a second
const NO_ANSWER_MS = 12_000; // after a question about the silence
const GONE_MS = 2000; // in which a kernel can show that it is still there
const SWAP_MS = 1500; // in which the static output usually replaces this view
const AT_BOTTOM_PX = 4;
const TYPING_MS = 2000; // after a key
const OBSERVED_MS = 100; // the delay of an IntersectionObserver after a scroll
const ENDS = ["done", "stopped", "failed"];
const STARTED = ["streaming", ...ENDS];
const WIDGET = "application/vnd.jupyter.widget-view+json";

/** @param {HTMLElement} el */
const build = (el) => {
  const isJupyter = document.body.dataset.jpThemeName !== undefined;
  const common = isJupyter ? "jp-RenderedHTMLCommon" : "groq-plain";
  const root = element("div", "groq-answer mathjax_ignore tex2jax_ignore", el);
  const bar = element("div", "groq-bar", root);
  const header = element("div", "groq-header", bar);
  const stop = element("button", "groq-stop", bar);
  stop.type = "button";
  stop.textContent = "Stop";
  stop.title = "End this answer; its text is kept";
  const thought = element("details", "groq-thought", root);
  const summary = element("summary", "", thought);
  const markdown = `${common} jp-RenderedMarkdown`;
  const reasoning = element("div", `groq-reasoning ${markdown}`, thought);
  thought.hidden = true;
  const tools = element("div", `groq-tools ${common}`, root);
  const text = element("div", `groq-text ${markdown}`, root);
  const calls = element("div", `groq-calls ${common}`, root);
  const note = element("div", `groq-note ${common}`, root);
  const latest = "Jump to the latest line";
  const jump = buttonIn(element("div", "groq-jump", root), "", latest, latest);
  return { jump, root, header, stop, thought, summary, reasoning, tools, text, calls, note };
};

// ---- Formulas ----

/** Typesets formulas one by one while the page is idle, outside the flow of the text: MathJax
 * measures what it makes, and each measurement would lay out the whole answer. */
class Typesetter {
  #latex;
  #bench;
  #change;
  /** @type {HTMLElement[]} */
  #queue = [];
  #isWarm = false;

  /**
   * @param {{typeset(node: Element): any} | undefined} latex what the frontend has, if any
   * @param {Element} root
   * @param {(change: () => void) => void} change makes a change of the page
   */
  constructor(latex, root, change) {
    this.#latex = latex;
    this.#change = change;
    this.#bench = element("div", "groq-bench jp-RenderedHTMLCommon", root);
    this.#bench.setAttribute("aria-hidden", "true");
  }

  /** Load MathJax, which takes a tenth of a second, before there is text. */
  warmUp() {
    if (!this.#isWarm) this.#latex?.typeset(this.#bench);
    this.#isWarm = true;
  }

  /** @param {Element} node */
  typeset(node) {
    if (!this.#latex) return;
    const wasEmpty = this.#queue.length === 0;
    const inside = node.querySelectorAll(".mathjax_process");
    const found = node.matches(".mathjax_process") ? [node, ...inside] : [...inside];
    this.#queue.push(.../** @type {HTMLElement[]} */ (found));
    if (wasEmpty && this.#queue.length > 0) this.#whenIdle();
  }

  #whenIdle() {
    (globalThis.requestIdleCallback ?? setTimeout)(() => this.#next());
  }

  async #next() {
    const formula = this.#queue[0];
    try {
      if (formula.isConnected && !formula.dataset.source) await this.#typesetOne(formula);
    } finally {
      this.#queue.shift();
      if (this.#queue.length > 0) this.#whenIdle();
    }
  }

  /** @param {HTMLElement} formula */
  async #typesetOne(formula) {
    const copy = document.createElement(formula.tagName);
    copy.className = formula.className;
    this.#bench.append(copy);
    copy.textContent = formula.dataset.source = formula.textContent ?? "";
    try {
      await this.#latex?.typeset(copy);
      this.#change(() => formula.replaceChildren(...copy.childNodes));
    } finally {
      copy.remove();
    }
  }
}

// ---- Following the last line ----

const SCROLLED_TO = Symbol.for("groq_magic.scrolled to"); // on what scrolls: where we scrolled it

/**
 * @param {Element} node
 * @returns {any} the element that scrolls it
 */
const scrollerOf = (node) => {
  for (let up = node.parentElement; up; up = up.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(up).overflowY);
    if (scrolls && up.scrollHeight > up.clientHeight) return up;
  }
  return document.scrollingElement;
};

/**
 * @param {Element} root
 * @returns {number} how many pixels of its end are below the visible area
 */
const hiddenBelow = (root, scroller = scrollerOf(root)) => {
  const limit = Math.min(scroller.getBoundingClientRect().bottom, innerHeight);
  return root.getBoundingClientRect().bottom - limit;
};

/** @param {Element} root */
const isTopVisible = (root, scroller = scrollerOf(root)) => {
  const { top } = root.getBoundingClientRect();
  const box = scroller.getBoundingClientRect();
  return Math.max(box.top, 0) <= top && top < Math.min(box.bottom, innerHeight);
};

/**
 * The editor in which someone types below an answer, and where it is on the screen.
 *
 * @param {Element} root
 */
const editorBelow = (root) => {
  const editor = document.activeElement?.closest("[contenteditable], textarea");
  const isBelow = editor && root.compareDocumentPosition(editor) & Node.DOCUMENT_POSITION_FOLLOWING;
  const top = isBelow ? editor.getBoundingClientRect().top : -1;
  return isBelow && 0 <= top && top <= innerHeight ? { editor, top } : undefined;
};

/** Keeps the last line of an answer visible as long as the reader has it in sight. Measuring
 * lays out the page: so only followed answers are measured, once per frame. */
class Follower {
  #root;
  #observer;
  /** @type {boolean | undefined} */
  #isVisible; // unknown until the observer has seen the view in the page
  #hasScrolled = false; // we scrolled, and the reader has not since
  #scrolledAt = -Infinity; // by the reader; the observer learns of it a little later
  #typedAt = -Infinity;
  /** @type {ReturnType<typeof editorBelow>} */
  #typing; // where the editor stays until the reader scrolls or types no more
  #isDue = false;
  #follows = false;
  #isEarly = false; // text arrived before the view was in the page

  /** @param {Element} root */
  constructor(root) {
    this.#root = root;
    this.#observer = new IntersectionObserver((entries) => this.#observed(entries));
    this.#observer.observe(element("div", "groq-end", root));
    document.addEventListener("scroll", this.#scrolled, { capture: true, passive: true });
    document.addEventListener("keydown", this.#typed, { capture: true, passive: true });
  }

  /**
   * Make a change of the page and follow the last line.
   *
   * @param {() => void} change
   */
  change(change) {
    // The last line can also leave the visible area when the page above it grows: then the
    // reader has not left it.
    if (!this.#isDue) this.#follows = this.#hasScrolled || this.#isInSight();
    if (!this.#isDue) this.#watchTyping();
    this.#isEarly ||= !this.#root.isConnected;
    if (!this.#isDue) requestAnimationFrame(() => this.#follow());
    this.#isDue = true;
    change();
  }

  letGo() {
    this.#hasScrolled = false;
  }

  jump() {
    this.#hasScrolled = this.#follows = true;
    this.#follow();
  }

  end() {
    this.#observer.disconnect();
    document.removeEventListener("scroll", this.#scrolled, { capture: true });
    document.removeEventListener("keydown", this.#typed, { capture: true });
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #observed(entries) {
    if (!this.#root.isConnected) return;
    this.#isVisible = entries.at(-1)?.isIntersecting;
    this.#root.classList.toggle("groq-ends-below", !this.#isVisible && hiddenBelow(this.#root) > 0);
    if (this.#isEarly) {
      this.#follows = isTopVisible(this.#root);
      this.#follow();
    }
    this.#isEarly = false;
  }

  /** @param {Event} event */
  #scrolled = ({ target }) => {
    const scroller = /** @type {any} */ (target === document ? document.scrollingElement : target);
    if (!scroller.contains(this.#root) || scroller[SCROLLED_TO] === scroller.scrollTop) return;
    this.#hasScrolled = false;
    this.#typing = undefined;
    this.#scrolledAt = performance.now();
  };

  #typed = () => (this.#typedAt = performance.now());

  #watchTyping() {
    const isTyping = performance.now() - this.#typedAt < TYPING_MS;
    const typing = isTyping ? editorBelow(this.#root) : undefined;
    if (typing?.editor !== this.#typing?.editor) this.#typing = typing;
  }

  #isInSight() {
    const isKnown =
      this.#isVisible !== undefined && performance.now() - this.#scrolledAt > OBSERVED_MS;
    if (isKnown) return Boolean(this.#isVisible);
    return this.#root.isConnected && hiddenBelow(this.#root) < AT_BOTTOM_PX;
  }

  #follow() {
    this.#isDue = false;
    if (!this.#typing && !this.#follows) return;
    const scroller = scrollerOf(this.#root);
    const move = this.#typing
      ? this.#typing.editor.getBoundingClientRect().top - this.#typing.top
      : Math.max(0, hiddenBelow(this.#root, scroller));
    if (move === 0) return;
    scroller.scrollTop += move;
    scroller[SCROLLED_TO] = scroller.scrollTop;
    this.#hasScrolled ||= this.#follows;
  }
}

// ---- The text ----

/**
 * @param {Element} node
 * @param {string} html
 */
const append = (node, html) => node.insertAdjacentHTML("beforeend", html);

/**
 * @param {any} block
 * @returns {Element} the element of an open block that its parts go into
 */
const placeIn = (block) => {
  if (block.tagName === "TABLE") return block.tBodies[0] ?? block;
  return block.tagName === "PRE" ? block.firstChild : block;
};

/** The mirror of the kernel's transcript: settled elements, then the open one, if there is one,
 * then the tail. An open element can have an open one as the last of what is settled in it. */
class Transcript {
  #text;
  #dress;
  #settled = 0;
  /** @type {{place: Element, held: number}[]} of each open element, where its parts go, and how
   * many nodes there are settled; the outermost first */
  #open = [];

  /**
   * @param {Element} text
   * @param {(node: Element) => void} dress prepares a new settled element
   */
  constructor(text, dress) {
    this.#text = text;
    this.#dress = dress;
  }

  /** @param {Operation[]} operations */
  apply(operations) {
    if (operations.length > 0) this.#dropTail();
    for (const [name, ...values] of operations) /** @type {any} */ (this)[name](...values);
  }

  /** @param {Shown} shown */
  restore({ settled, open, inner, tail, parts }) {
    this.#text.innerHTML = settled.join("");
    this.#settled = settled.length;
    this.#open = [];
    this.#dress(this.#text);
    if (open) this.#append(open, inner);
    this.tail(tail, ...parts);
  }

  /** @param {string} html */
  settle(html) {
    append(this.#text, html);
    this.#settled += 1;
    this.#dress(this.#text.children[this.#settled - 1]);
  }

  /** @param {string} html */
  open(html) {
    const around = this.#open.at(-1);
    if (!around) return this.#append(html, 0);
    append(around.place, html);
    around.held = around.place.childNodes.length;
    const element = /** @type {Element} */ (around.place.lastElementChild);
    this.#dress(element);
    this.#hold(element);
  }

  /**
   * @param {string} html
   * @param {number} inner how many open elements are in the outermost one
   */
  reopen(html, inner) {
    this.#openElement.remove();
    this.#open = [];
    this.#append(html, inner);
  }

  /** @param {string} html */
  push(html) {
    const last = this.#open[this.#open.length - 1];
    append(last.place, html);
    /** @type {ChildNode | null} */
    let node = last.place.childNodes[last.held]; // not a copy of the list, which can be long
    for (; node; node = node.nextSibling) if (node instanceof Element) this.#dress(node);
    last.held = last.place.childNodes.length;
  }

  close() {
    this.#open.pop();
    if (this.#open.length === 0) this.#settled += 1;
  }

  /**
   * @param {number} index
   * @param {string} html
   */
  replace(index, html) {
    this.#text.children[index].outerHTML = html;
    this.#dress(this.#text.children[index]);
  }

  /**
   * @param {string} html
   * @param {string[]} parts
   */
  tail(html, ...parts) {
    for (const [index, { place }] of this.#open.entries()) append(place, parts[index]);
    append(this.#text, html);
  }

  get #openElement() {
    return this.#text.children[this.#settled];
  }

  /**
   * @param {string} html
   * @param {number} inner
   */
  #append(html, inner) {
    append(this.#text, html);
    this.#dress(this.#openElement);
    this.#hold(this.#openElement);
    for (let left = inner; left > 0; left--) {
      this.#hold(this.#open[this.#open.length - 1].place.lastElementChild);
    }
  }

  /** @param {Element | null} element */
  #hold(element) {
    const place = placeIn(element);
    this.#open.push({ place, held: place.childNodes.length });
  }

  #dropTail() {
    const text = this.#text;
    const kept = this.#settled + Math.min(this.#open.length, 1);
    while (text.lastChild && text.children[kept - 1] !== text.lastChild) text.lastChild.remove();
    for (const { place, held } of this.#open) {
      while (place.childNodes.length > held) place.lastChild?.remove();
    }
  }
}

/**
 * Replace the HTML of a node; what the reader has unfolded stays unfolded.
 *
 * @param {Element} node
 * @param {string | undefined} html undefined if it has not changed
 */
const renew = (node, html) => {
  if (html === undefined) return;
  const open = [...node.querySelectorAll("details")].map((details) => details.open);
  node.innerHTML = html;
  node
    .querySelectorAll("details")
    .forEach((details, index) => (details.open = open[index] ?? false));
  addCopyButtons(node);
};

// ---- The kernel ----

/** Messages to the kernel that are sent again until they are answered: a message that is sent
 * right after a reload of the page can be lost. Each has an id of its own, since the kernel can
 * deliver a message twice. */
class Requests {
  view = String(Math.random()); // names the view that asks
  #model;
  #onGone;
  /** @type {Map<string, ReturnType<typeof setTimeout> | undefined>} */
  #timers = new Map();

  /**
   * @param {Model} model
   * @param {() => void} onGone called when nothing can be sent
   */
  constructor(model, onGone) {
    this.#model = model;
    this.#onGone = onGone;
  }

  /** @param {string} type */
  ask(type) {
    if (!this.#timers.has(type)) this.#send(type, ASK_AGAIN_MS);
  }

  /** @param {string} type */
  answered(type) {
    clearTimeout(this.#timers.get(type));
    this.#timers.delete(type);
  }

  end() {
    for (const type of [...this.#timers.keys()]) this.answered(type);
  }

  /**
   * @param {string} type
   * @param {number} pause
   */
  #send(type, pause) {
    this.#timers.set(type, undefined);
    try {
      this.#model.send({ type, view: this.view, id: Math.random() });
    } catch {
      return this.#onGone(); // the comm has ended with its kernel
    }
    const next = Math.min(2 * pause, LONGEST_PAUSE_MS);
    this.#timers.set(
      type,
      setTimeout(() => this.#send(type, next), pause),
    );
  }
}

/** Notices a kernel that is silent or gone. */
class Watch {
  #on;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {{silence: () => void, noAnswer: () => void, gone: () => void}} on */
  constructor(on) {
    this.#on = on;
  }

  /** @param {boolean} isLast whether no further message is expected */
  heard(isLast) {
    clearTimeout(this.#timer);
    if (!isLast) this.#timer = setTimeout(() => this.#silence(), SILENCE_MS);
  }

  /** @param {number} before how many pages are to notice it before this one */
  left(before) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#on.gone, (1 + before) * GONE_MS);
  }

  end() {
    clearTimeout(this.#timer);
  }

  #silence() {
    this.#timer = setTimeout(this.#on.noAnswer, NO_ANSWER_MS);
    this.#on.silence();
  }
}

// ---- The notebook ----

/**
 * How many pages that share the notebook go before this one where no kernel says whose turn it is.
 *
 * @param {any} manager
 */
const pagesBefore = (manager) => {
  const awareness = manager?.context?.model?.sharedModel?.awareness;
  const pages = [...(awareness?.getStates().keys() ?? [])];
  return pages.filter((id) => id < awareness.clientID).length;
};

/**
 * Replace the output that shows this widget, if the frontend gives access to the notebook.
 *
 * @param {any} manager
 * @param {string | null} modelId
 * @param {object} output
 */
const replaceOutput = (manager, modelId, output) => {
  for (const { outputs } of manager?.context?.model?.cells ?? []) {
    for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
      if (outputs.get(index).data?.[WIDGET]?.model_id === modelId)
        outputs.set(index, { metadata: outputs.get(index).metadata, ...output });
    }
  }
  const classic = /** @type {any} */ (globalThis).Jupyter?.notebook; // which has no such model
  for (const { output_area: area } of classic?.get_cells() ?? []) {
    /** @type {any[]} */
    const outputs = area?.toJSON() ?? [];
    const index = outputs.findIndex(({ data }) => data?.[WIDGET]?.model_id === modelId);
    if (index < 0) continue;
    outputs[index] = { metadata: outputs[index].metadata, ...output };
    area.clear_output();
    area.fromJSON(outputs);
  }
};

const NO_ANSWER = noteOf("No answer from the kernel.", "The text so far is shown above.");
const GONE = noteOf("Cut off.", "The kernel is gone. The text so far is kept.");

// ---- The view ----

/** Connects the parts of one view. */
class View {
  #model;
  #view;
  #follower;
  #typesetter;
  #text;
  #reasoning;
  #requests;
  #watch;
  #number = -1; // of the last batch on the screen; -1 before the first snapshot
  #thinking = false;
  /** @type {string | null} */
  #modelId = null; // unknown before the first snapshot
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #swap;
  /** @type {HTMLElement | undefined} */
  #copyButton; // of the whole answer

  /**
   * @param {Model} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.#model = model;
    this.#view = build(el);
    this.#follower = new Follower(this.#view.root);
    const latex = model.widget_manager?.rendermime?.latexTypesetter;
    this.#typesetter = new Typesetter(latex, this.#view.root, (f) => this.#follower.change(f));
    /** @param {Element} node */
    const dress = (node) => {
      addCopyButtons(node);
      this.#typesetter.typeset(node);
    };
    this.#text = new Transcript(this.#view.text, dress);
    this.#reasoning = new Transcript(this.#view.reasoning, dress);
    this.#requests = new Requests(model, this.#kernelLeft);
    this.#watch = new Watch({
      silence: () => this.#requests.ask("snapshot"),
      noAnswer: () => (this.#view.note.innerHTML = NO_ANSWER),
      gone: () => this.#keepWithoutKernel(),
    });
  }

  start() {
    const { jump, root, stop, summary } = this.#view;
    stop.addEventListener("click", () => this.#stop());
    // An answer above that grows can move the button before the release: that is no click.
    stop.addEventListener("mousedown", ({ button }) => button === 0 && this.#stop());
    summary.addEventListener("click", () => this.#follower.letGo()); // to read there
    jump.addEventListener("click", () => this.#follower.jump());
    root.addEventListener("groq-follow", () => this.#follower.jump()); // from the plugin
    root.addEventListener("groq-copy", (event) => this.#ask(event)); // from the plugin
    root.addEventListener("click", ({ target }) => {
      if (target instanceof HTMLElement && target.matches(".groq-copy")) copyCode(target);
    });
    this.#model.on("msg:custom", this.#heard);
    this.#model.on("change:early", this.#heardEarly);
    this.#model.on("comm_live_update", this.#kernelLeft);
    this.#heardEarly();
    this.#requests.ask("snapshot");
  }

  end() {
    this.#requests.end();
    this.#watch.end();
    clearTimeout(this.#swap);
    this.#follower.end();
    this.#model.off("msg:custom", this.#heard);
    this.#model.off("change:early", this.#heardEarly);
    this.#model.off("comm_live_update", this.#kernelLeft);
  }

  /** @param {any} event whose detail is the button */
  #ask({ detail }) {
    this.#copyButton = detail;
    this.#requests.ask("text");
  }

  #stop() {
    const { stop } = this.#view;
    stop.setAttribute("aria-disabled", "true"); // a disabled button would lose the focus
    stop.textContent = "Stopping";
    stop.removeAttribute("aria-label"); // it says "Stop"
    this.#requests.ask("stop");
  }

  /** @param {Batch | Snapshot | Static | Text} message */
  #heard = (message) => {
    if (message.type === "batch") {
      this.#follower.change(() => this.#applyBatch(message));
    } else if (message.type === "snapshot") {
      this.#requests.answered("snapshot");
      this.#follower.change(() => this.#applySnapshot(message));
      if (!STARTED.includes(message.status.state)) this.#typesetter.warmUp();
    } else if (message.type === "static") {
      if (message.view !== this.#requests.view) return; // another one writes
      this.#requests.answered("static");
      replaceOutput(this.#model.widget_manager, this.#modelId, message.output);
    } else if (message.type === "text") {
      this.#requests.answered("text");
      if (this.#copyButton) copy(this.#copyButton, message.text, this.#view.text);
      this.#copyButton = undefined; // a second reply, or another page's, copies nothing
    }
  };

  /** Show what arrived before this view could receive messages; the rest is asked for. */
  #heardEarly = () => {
    const message = this.#model.get("early");
    if (message) this.#follower.change(() => this.#applySnapshot(message));
  };

  #kernelLeft = () => this.#watch.left(pagesBefore(this.#model.widget_manager));

  /** @param {Batch} message */
  #applyBatch(message) {
    if (message.n <= this.#number) return;
    if (this.#number < 0 || message.n !== this.#number + 1) return this.#requests.ask("snapshot");
    this.#text.apply(message.text);
    if (message.reasoning.length > 0) {
      this.#changeReasoning(() => this.#reasoning.apply(message.reasoning));
    }
    this.#number = message.n;
    this.#showStatus(message.status);
  }

  /** @param {Snapshot} message */
  #applySnapshot(message) {
    this.#modelId = message.model_id;
    if (message.n < this.#number) return; // it is late
    if (message.n === this.#number) return this.#showStatus(message.status);
    this.#text.restore(message.text);
    this.#changeReasoning(() => this.#reasoning.restore(message.reasoning));
    this.#number = message.n;
    this.#showStatus(message.status);
  }

  /**
   * Make a change of the reasoning; its box follows the last line until the reader scrolls up.
   *
   * @param {() => void} change
   */
  #changeReasoning(change) {
    const { reasoning } = this.#view;
    const { scrollTop, scrollHeight, clientHeight } = reasoning;
    change();
    if (scrollHeight - scrollTop - clientHeight < AT_BOTTOM_PX) {
      reasoning.scrollTop = reasoning.scrollHeight;
    }
  }

  /** @param {Status} status */
  #showStatus(status) {
    const { root, header, note, stop } = this.#view;
    const hasEnded = ENDS.includes(status.state);
    const isNews = root.dataset.state !== status.state;
    root.dataset.state = status.state;
    header.innerHTML = status.header;
    this.#showThought(status);
    renew(this.#view.tools, status.tools);
    renew(this.#view.calls, status.calls);
    note.innerHTML = status.note;
    if (isNews) say(`${status.state} ${note.textContent}`);
    if (hasEnded && root.contains(document.activeElement)) this.#keepFocus();
    stop.hidden = hasEnded;
    this.#watch.heard(hasEnded);
    if (!hasEnded || this.#swap) return;
    this.#requests.answered("stop");
    this.#swap = setTimeout(() => this.#requests.ask("static"), SWAP_MS);
  }

  /** @param {Status} status */
  #showThought({ thought, thinking }) {
    this.#view.thought.hidden = !thought;
    this.#view.summary.textContent = thought;
    if (thinking === this.#thinking) return; // the reader may have opened or closed it
    this.#view.thought.open = this.#thinking = thinking;
  }

  /** Move the focus to the cell, since this view is about to be removed. */
  #keepFocus() {
    const cell = /** @type {HTMLElement | null} */ (this.#view.root.closest(".jp-Cell"));
    cell?.focus({ preventScroll: true });
  }

  #keepWithoutKernel() {
    const { root, note, stop } = this.#view;
    stop.hidden = true;
    if (!ENDS.includes(root.dataset.state ?? "")) {
      root.dataset.state = "failed";
      note.innerHTML = GONE;
    }
    replaceOutput(this.#model.widget_manager, this.#modelId, outputOf(root));
  }
}

/** @param {{model: Model, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new View(model, el);
  view.start();
  return () => view.end();
}

export default { render };
