// The browser's half of the live view. It holds no truth: what is on the screen is
// what the kernel's numbered batches said, and when a number is missing it asks for
// a snapshot. All HTML comes escaped from the kernel; see view.py for the messages.

const ASK_AGAIN_MS = 500;
const LONGEST_SILENCE_MS = 3000; // the kernel paints once a second at least
const ENDS = ["done", "stopped", "failed"];

const element = (tag, className, parent) => {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
};

const build = (el) => {
  const root = element("div", "groq-answer", el);
  const bar = element("div", "groq-bar", root);
  const header = element("div", "groq-header", bar);
  const stop = element("button", "groq-stop", bar);
  stop.type = "button";
  stop.textContent = "Stop";
  stop.title = "End this answer; its text is kept";
  const state = element("div", "groq-state", root);
  state.setAttribute("role", "status");
  const thought = element("details", "groq-thought", root);
  const summary = element("summary", "", thought);
  const reasoning = element("div", "", thought);
  thought.hidden = true;
  const text = element(
    "div",
    "groq-text mathjax_ignore jp-RenderedHTMLCommon jp-RenderedMarkdown",
    root,
  );
  const note = element("div", "groq-note", root);
  return { root, header, stop, state, thought, summary, reasoning, text, note };
};

function render({ model, el }) {
  const view = build(el);
  let number = -1; // of the last batch on the screen; -1 before the first snapshot
  let settled = 0;
  let held = -1; // no block is open
  let wantSnapshot = true;
  let wantStop = false;
  let silence; // the timer that ends when nothing was heard for long

  // Send, and send again until what is wanted is there: a message sent right after a page
  // reload can be lost. A snapshot is no sign that a stop was heard; it may be an older
  // question's answer, or another view's.
  const persist = (type, wanted, pause = ASK_AGAIN_MS) => {
    if (!wanted()) return;
    model.send({ type });
    setTimeout(() => persist(type, wanted, Math.min(2 * pause, 30_000)), pause);
  };

  const askForSnapshot = () => {
    if (wantSnapshot) return;
    wantSnapshot = true;
    persist("snapshot", () => wantSnapshot);
  };

  const typeset = (node) => {
    if (!node.querySelector?.(".mathjax_process") && !node.matches?.(".mathjax_process")) return;
    model.widget_manager?.rendermime?.latexTypesetter?.typeset(node);
  };

  const typesetFrom = (place, index) => {
    for (const node of [...place.childNodes].slice(index)) typeset(node);
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
      typeset(view.text.children[settled - 1]);
    },
    open(html) {
      openElement()?.remove();
      append(view.text, html);
      held = 0;
      held = placeIn(openElement()).childNodes.length;
      typeset(openElement());
    },
    push(html) {
      const place = placeIn(openElement());
      append(place, html);
      typesetFrom(place, held);
      held = place.childNodes.length;
    },
    close() {
      settled += 1;
      held = -1;
    },
    replace(index, html) {
      view.text.children[index].outerHTML = html;
      typeset(view.text.children[index]);
    },
    tail(html, part) {
      if (part) append(placeIn(openElement()), part);
      append(view.text, html);
    },
  };

  const showStatus = (status) => {
    const ended = ENDS.includes(status.state);
    view.header.innerHTML = status.header;
    if (view.state.textContent !== status.state) view.state.textContent = status.state;
    view.summary.textContent = status.thought;
    view.thought.hidden = !status.thought;
    view.note.innerHTML = status.note;
    view.stop.hidden = ended;
    if (ended) wantStop = false;
    clearTimeout(silence);
    if (!ended) silence = setTimeout(askForSnapshot, LONGEST_SILENCE_MS);
  };

  const applyBatch = (message) => {
    if (message.n <= number) return;
    if (number < 0 || message.n !== number + 1) return askForSnapshot();
    if (message.ops.length > 0) dropTail();
    for (const [name, ...values] of message.ops) operations[name](...values);
    view.reasoning.append(message.reasoning);
    number = message.n;
    showStatus(message.status);
  };

  const applySnapshot = (message) => {
    wantSnapshot = false;
    if (message.n < number) return;
    view.text.innerHTML = message.settled.join("");
    settled = message.settled.length;
    held = -1;
    typeset(view.text);
    if (message.open) operations.open(message.open);
    operations.tail(message.tail, message.part);
    view.reasoning.textContent = message.reasoning;
    number = message.n;
    showStatus(message.status);
  };

  const heard = (message) => {
    if (message.type === "batch") applyBatch(message);
    else if (message.type === "snapshot") applySnapshot(message);
  };

  view.stop.addEventListener("click", () => {
    view.stop.disabled = true;
    view.stop.textContent = "Stopping";
    wantStop = true;
    persist("stop", () => wantStop);
  });

  model.on("msg:custom", heard);
  persist("snapshot", () => wantSnapshot);
  return () => {
    wantSnapshot = wantStop = false;
    clearTimeout(silence);
    model.off("msg:custom", heard);
  };
}

export default { render };
