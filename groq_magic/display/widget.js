// The browser's half of the live view. It holds no truth: what is on the screen is
// what the kernel's numbered batches said, and when a number is missing it asks for
// a snapshot. All HTML comes escaped from the kernel; see live.py for the messages.

const ASK_AGAIN_MS = 500;
const LONGEST_SILENCE_MS = 3000; // the kernel paints once a second at least
const NO_WORD_MS = 12_000; // and then no answer to a question either
const GONE_MS = 2000; // for a kernel that was said to leave, to show that it did not
const SWAP_MS = 1500; // by then the static output has taken this view's place
const AT_BOTTOM_PX = 4;
const OBSERVED_MS = 100;
const ENDS = ["done", "stopped", "failed"];
const STARTED = ["streaming", ...ENDS];
const WIDGET = "application/vnd.jupyter.widget-view+json";

const element = (tag, className, parent) => {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
};

const build = (el) => {
  const root = element("div", "groq-answer mathjax_ignore tex2jax_ignore", el);
  const bar = element("div", "groq-bar", root);
  const header = element("div", "groq-header", bar);
  const stop = element("button", "groq-stop", bar);
  stop.type = "button";
  stop.textContent = "Stop";
  stop.title = "End this answer; its text is kept";
  const thought = element("details", "groq-thought", root);
  const summary = element("summary", "", thought);
  const reasoning = element("div", "groq-reasoning", thought);
  thought.hidden = true;
  const text = element("div", "groq-text jp-RenderedHTMLCommon jp-RenderedMarkdown", root);
  const note = element("div", "groq-note jp-RenderedHTMLCommon", root);
  return { root, header, stop, thought, summary, reasoning, text, note };
};

// What a screen reader says. It is of the page, since a view goes the moment its answer ends.
const say = (words) => {
  const said = document.querySelector("body > .groq-said") ?? element("div", "groq-said", document.body);
  said.setAttribute("role", "status");
  said.textContent = words;
};

// Code blocks, each with a button that copies it. The button has no text of its own, for
// the text of an answer is the answer's alone; widget.css writes "Copy" on it.

const addCopyButtons = (node) => {
  for (const pre of node.matches("pre") ? [node] : node.querySelectorAll("pre")) {
    const button = element("button", "groq-copy", pre);
    button.type = "button";
    button.setAttribute("aria-label", "Copy this code");
  }
};

// Nobody sees these in the code, and they would be pasted with it: control characters,
// zero-width ones, and those that change the direction of what is written.
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

const put = async (text, code) => {
  try {
    return await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(code); // no clipboard on plain http: the older way
  }
  const copy = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", copy);
  const isDone = document.execCommand("copy");
  document.removeEventListener("copy", copy);
  if (!isDone) throw new Error("Nothing is copied; it is selected, for the reader's own keys");
};

const copyCode = async (button) => {
  const code = button.parentElement.firstChild;
  const text = code.textContent.replace(HIDDEN, "");
  const count = code.textContent.length - text.length;
  await put(text, code);
  button.title = count ? `Copied without ${count} hidden character${count === 1 ? "" : "s"}` : "";
  say(button.title || "Copied");
  button.classList.add("groq-copied");
  setTimeout(() => button.classList.remove("groq-copied"), 1500);
};

// Formulas are typeset one by one while the page is idle, and out of the text's flow:
// MathJax measures what it makes, and each measurement would lay out the whole answer.

const makeTypesetter = (typesetter, root, following) => {
  if (!typesetter) return { typeset() {}, warmUp() {} };
  const whenIdle = globalThis.requestIdleCallback ?? setTimeout;
  const bench = element("div", "groq-bench jp-RenderedHTMLCommon", root);
  bench.setAttribute("aria-hidden", "true");
  const queue = [];
  const typesetOne = async (formula) => {
    const copy = element(formula.tagName, formula.className, bench);
    copy.textContent = formula.dataset.source = formula.textContent;
    try {
      await typesetter.typeset(copy);
      following(() => formula.replaceChildren(...copy.childNodes));
    } finally {
      copy.remove();
    }
  };
  const next = async () => {
    const formula = queue[0];
    try {
      if (formula.isConnected && !formula.dataset.source) await typesetOne(formula);
    } finally {
      queue.shift();
      if (queue.length > 0) whenIdle(next);
    }
  };
  const typeset = (node) => {
    const before = queue.length;
    if (node.matches(".mathjax_process")) queue.push(node);
    queue.push(...node.querySelectorAll(".mathjax_process"));
    if (before === 0 && queue.length > 0) whenIdle(next);
  };
  return { typeset, warmUp: () => typesetter.typeset(bench) };
};

// The reader follows the answer's last line while it is in sight. To know where a line is makes
// the page lay itself out; so that is asked only of answers that are followed, once in a frame.

const BROUGHT_TO = Symbol.for("groq_magic.brought to"); // of what scrolls: where we scrolled it

const scrollerOf = (node) => {
  for (let up = node.parentElement; up; up = up.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(up).overflowY);
    if (scrolls && up.scrollHeight > up.clientHeight) return up;
  }
  return document.scrollingElement;
};

const hiddenOf = (root, scroller = scrollerOf(root)) => {
  const limit = Math.min(scroller.getBoundingClientRect().bottom, innerHeight);
  return root.getBoundingClientRect().bottom - limit;
};

const beginsInSight = (root, scroller = scrollerOf(root)) => {
  const { top } = root.getBoundingClientRect();
  const box = scroller.getBoundingClientRect();
  return Math.max(box.top, 0) <= top && top < Math.min(box.bottom, innerHeight);
};

const makeFollower = (root) => {
  let inSight; // not known before the observer has seen it in the page
  let brought = false; // by us, and the reader has not scrolled since
  let scrolledAt = -Infinity; // by the reader; the observer knows of that a little later
  let isDue = false;
  let follows;
  let isBefore = false; // text came before the view was in the page

  const observer = new IntersectionObserver((entries) => {
    if (!root.isConnected) return;
    inSight = entries.at(-1).isIntersecting;
    if (isBefore) follows = beginsInSight(root);
    if (isBefore) follow();
    isBefore = false;
  });
  observer.observe(element("div", "groq-end", root));

  const scrolled = ({ target }) => {
    const scroller = target === document ? document.scrollingElement : target;
    if (!scroller.contains(root) || scroller[BROUGHT_TO] === scroller.scrollTop) return;
    brought = false;
    scrolledAt = performance.now();
  };
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });

  const isInSight = () => {
    const isKnown = inSight !== undefined && performance.now() - scrolledAt > OBSERVED_MS;
    return isKnown ? inSight : root.isConnected && hiddenOf(root) < AT_BOTTOM_PX;
  };

  const follow = () => {
    isDue = false;
    if (!follows) return;
    const scroller = scrollerOf(root);
    const hidden = hiddenOf(root, scroller);
    if (hidden <= 0) return;
    scroller.scrollTop += hidden;
    scroller[BROUGHT_TO] = scroller.scrollTop;
    brought = true;
  };

  return {
    following(change) {
      // The last line also goes out of sight as what is above it grows, or when the notebook
      // makes room late; the reader has not left it then.
      if (!isDue) follows = brought || isInSight();
      isBefore ||= !root.isConnected;
      if (!isDue) requestAnimationFrame(follow);
      isDue = true;
      change();
    },
    letGo() {
      brought = false;
    },
    leave() {
      observer.disconnect();
      document.removeEventListener("scroll", scrolled, { capture: true });
    },
  };
};

// The output in the notebook that shows this widget, where the frontend lets us at it.
const putInPlace = (manager, modelId, output) => {
  for (const { outputs } of manager?.context?.model?.cells ?? []) {
    for (let index = 0; index < (outputs?.length ?? 0); index += 1) {
      if (outputs.get(index).data?.[WIDGET]?.model_id === modelId) outputs.set(index, output);
    }
  }
};

// The answer as it stands, as an output, for a notebook whose kernel is gone.
const still = (view) => {
  const root = view.root.cloneNode(true);
  root.removeAttribute("data-state");
  for (const node of root.querySelectorAll("button, .groq-bench, .groq-end")) node.remove();
  for (const formula of root.querySelectorAll("[data-source]")) {
    formula.textContent = formula.dataset.source;
    formula.removeAttribute("data-source");
  }
  root.querySelector("details").removeAttribute("open");
  root.querySelector(".groq-reasoning").style = "white-space:pre-wrap;max-height:20em;overflow:auto";
  const html = root.outerHTML.replace(/\n(?=[ \t]*\n)/g, "&#10;"); // as looks.py has it
  const text = root.querySelector(".groq-text").textContent;
  return { output_type: "display_data", data: { "text/html": html, "text/plain": text }, metadata: {} };
};

const WARN = "var(--jp-warn-color0, #b26a00)";
const noteOf = (strong, rest) =>
  `<div style="border-left:3px solid ${WARN};padding:3px 10px;margin:6px 0">` +
  `<b style="color:${WARN}">${strong}</b> ${rest}</div>`;
const NO_WORD = noteOf("No word from the kernel.", "Is it still there? What came is shown above.");
const GONE = noteOf("Cut off.", "The kernel is gone. What had come is kept.");

function render({ model, el }) {
  const view = build(el);
  const { following, letGo, leave } = makeFollower(view.root);
  const typesetter = model.widget_manager?.rendermime?.latexTypesetter;
  const math = makeTypesetter(typesetter, view.root, following);
  let number = -1; // of the last batch on the screen; -1 before the first snapshot
  let isWarm = false;
  let settled = 0;
  let held = -1; // no block is open
  let thinking = false;
  let modelId = null; // not known before the first snapshot
  const want = { snapshot: true, stop: false, static: false };
  const again = {}; // the timers of what is sent again
  let silence; // the timer that ends when nothing was heard for long
  let swap; // the timer that ends when no static output has come

  // Send, and send again until what is wanted is there: a message sent right after a page
  // reload can be lost. A snapshot is no sign that a stop was heard; it may be an older
  // question's answer, or another view's.
  const persist = (type, pause = ASK_AGAIN_MS) => {
    if (!want[type]) return;
    try {
      model.send({ type, id: Math.random() }); // by which the kernel knows what it hears twice
    } catch {
      return kernelLeft(); // the comm went with its kernel
    }
    again[type] = setTimeout(() => persist(type, Math.min(2 * pause, 30_000)), pause);
  };

  const ask = (type) => {
    if (want[type]) return;
    want[type] = true;
    clearTimeout(again[type]);
    persist(type);
  };

  const dress = (node) => {
    addCopyButtons(node);
    math.typeset(node);
  };

  // Of the text's elements the first `settled` are settled, then comes the open one, if
  // there is one, then the tail. In the open one the first `held` nodes are settled.
  const openElement = () => (held < 0 ? null : view.text.children[settled]);
  const placeIn = (block) => ({ TABLE: block.tBodies?.[0], PRE: block.firstChild })[block.tagName] ?? block;
  const append = (node, html) => node.insertAdjacentHTML("beforeend", html);

  const dropTail = () => {
    const kept = held < 0 ? settled : settled + 1;
    while (view.text.lastChild && view.text.children[kept - 1] !== view.text.lastChild) {
      view.text.lastChild.remove();
    }
    if (held < 0) return;
    const place = placeIn(openElement());
    while (place.childNodes.length > held) place.lastChild.remove();
  };

  const operations = {
    settle(html) {
      append(view.text, html);
      settled += 1;
      dress(view.text.children[settled - 1]);
    },
    open(html) {
      openElement()?.remove();
      append(view.text, html);
      held = 0;
      held = placeIn(openElement()).childNodes.length;
      dress(openElement());
    },
    push(html) {
      const place = placeIn(openElement());
      append(place, html);
      for (let node = place.childNodes[held]; node; node = node.nextSibling) {
        if (node.nodeType === Node.ELEMENT_NODE) dress(node);
      }
      held = place.childNodes.length;
    },
    close() {
      settled += 1;
      held = -1;
    },
    replace(index, html) {
      view.text.children[index].outerHTML = html;
      dress(view.text.children[index]);
    },
    tail(html, part) {
      if (part) append(placeIn(openElement()), part);
      append(view.text, html);
    },
  };

  const showThought = (status) => {
    view.thought.hidden = !status.thought;
    view.summary.textContent = status.thought;
    if (status.thinking === thinking) return; // then it is as the reader left it
    view.thought.open = thinking = status.thinking;
  };

  const showStatus = (status) => {
    const ended = ENDS.includes(status.state);
    const isNews = view.root.dataset.state !== status.state;
    view.root.dataset.state = status.state;
    view.header.innerHTML = status.header;
    showThought(status);
    view.note.innerHTML = status.note;
    if (isNews) say(`${status.state} ${view.note.textContent}`);
    if (ended && view.root.contains(document.activeElement)) keepFocus();
    view.stop.hidden = ended;
    clearTimeout(silence);
    if (!ended) silence = setTimeout(askWhetherItIsThere, LONGEST_SILENCE_MS);
    if (!ended || swap) return;
    want.stop = false;
    swap = setTimeout(() => ask("static"), SWAP_MS);
  };

  // The view is about to go, and with it the focus: it would be nowhere then.
  const keepFocus = () => view.root.closest(".jp-Cell")?.focus({ preventScroll: true });

  const askWhetherItIsThere = () => {
    silence = setTimeout(() => (view.note.innerHTML = NO_WORD), NO_WORD_MS);
    ask("snapshot");
  };

  const kernelLeft = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      view.stop.hidden = true;
      if (!ENDS.includes(view.root.dataset.state)) {
        view.root.dataset.state = "failed";
        view.note.innerHTML = GONE;
      }
      putInPlace(model.widget_manager, modelId, still(view));
    }, GONE_MS);
  };

  const applyBatch = (message) => {
    if (message.n <= number) return;
    if (number < 0 || message.n !== number + 1) return ask("snapshot");
    if (message.ops.length > 0) dropTail();
    for (const [name, ...values] of message.ops) operations[name](...values);
    showReasoning(message.reasoning);
    number = message.n;
    showStatus(message.status);
  };

  const showReasoning = (text) => {
    if (!text) return;
    const { scrollTop, scrollHeight, clientHeight } = view.reasoning;
    view.reasoning.append(text);
    if (scrollHeight - scrollTop - clientHeight < AT_BOTTOM_PX) {
      view.reasoning.scrollTop = view.reasoning.scrollHeight;
    }
  };

  const applySnapshot = (message) => {
    modelId = message.model_id;
    if (message.n < number) return; // it comes late
    if (message.n === number) return showStatus(message.status);
    view.text.innerHTML = message.settled.join("");
    settled = message.settled.length;
    held = -1;
    dress(view.text);
    if (message.open) operations.open(message.open);
    operations.tail(message.tail, message.part);
    view.reasoning.textContent = "";
    showReasoning(message.reasoning);
    number = message.n;
    showStatus(message.status);
  };

  const heard = (message) => {
    if (message.type === "batch") following(() => applyBatch(message));
    else if (message.type === "snapshot") {
      want.snapshot = false;
      following(() => applySnapshot(message));
      warmUp(message.status);
    } else if (message.type === "static") {
      want.static = false;
      putInPlace(model.widget_manager, modelId, message.output);
    }
  };

  // MathJax takes a tenth of a second to load: best while there is no text yet.
  const warmUp = ({ state }) => {
    if (!isWarm && !STARTED.includes(state)) math.warmUp();
    isWarm = true;
  };

  view.stop.addEventListener("click", () => {
    view.stop.setAttribute("aria-disabled", "true"); // disabled, it would lose the focus
    view.stop.textContent = "Stopping";
    ask("stop");
  });
  view.text.addEventListener("click", ({ target }) => {
    if (target.matches(".groq-copy")) copyCode(target);
  });

  view.summary.addEventListener("click", letGo); // to read there

  // What came while this view was made: a message would have found nobody. What came since
  // is asked for all the same.
  const heardEarly = () => {
    const message = model.get("early");
    if (message) following(() => applySnapshot(message));
  };

  model.on("msg:custom", heard);
  model.on("change:early", heardEarly);
  model.on("comm_live_update", kernelLeft);
  heardEarly();
  persist("snapshot");
  return () => {
    want.snapshot = want.stop = want.static = false;
    clearTimeout(silence);
    clearTimeout(swap);
    leave();
    model.off("msg:custom", heard);
    model.off("change:early", heardEarly);
    model.off("comm_live_update", kernelLeft);
  };
}

export default { render };
