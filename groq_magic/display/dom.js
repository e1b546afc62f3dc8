// @ts-check

/**
 * What the live view and the plugin, which also finds saved answers, do with an answer's
 * elements: buttons, copying, and the output that an unfinished answer leaves.
 */

const COPIED_MS = 1500;
const NOT_COPIED_MS = 6000;
const LIVE_ONLY = "button, .groq-buttons, .groq-jump, .groq-bench, .groq-end";

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 * @param {Element} parent
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export const element = (tag, className, parent) => {
  const node = document.createElement(tag);
  node.className = className;
  parent.append(node);
  return node;
};

/**
 * Announce words to screen readers. The element belongs to the page, since a view is removed
 * the moment its answer ends.
 *
 * @param {string} words
 */
export const say = (words) => {
  const said =
    document.querySelector("body > .groq-said") ?? element("div", "groq-said", document.body);
  said.setAttribute("role", "status");
  // Not in a style sheet: in marimo that of a widget is its own.
  said.setAttribute(
    "style",
    "position:fixed;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)",
  );
  said.textContent = words;
};

// Characters that a reader does not see in the code but would paste: control characters,
// zero-width characters and changes of direction.
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

/**
 * A button whose label is written by the style sheet: the text of an answer stays its own.
 *
 * @param {Element} place
 * @param {string} className
 * @param {string} label
 * @param {string} name for screen readers
 */
export const buttonIn = (place, className, label, name) => {
  const button = element("button", `groq-button ${className}`, place);
  button.type = "button";
  button.dataset.label = label;
  button.setAttribute("aria-label", name);
  return button;
};

/**
 * Add a Copy button to each code block.
 *
 * @param {Element} node
 */
export const addCopyButtons = (node) => {
  for (const pre of node.matches("pre") ? [node] : node.querySelectorAll("pre")) {
    const place = element("span", "groq-buttons", pre);
    place.dataset.language = pre.firstElementChild?.className.match(/language-(\S+)/)?.[1] ?? "";
    buttonIn(place, "groq-copy", "Copy", "Copy this code");
  }
};

/** @param {Element} button of a code block */
export const codeOf = (button) => /** @type {Element} */ (button.closest("pre")?.firstChild);

/**
 * @param {Element} code
 * @returns {[string, number]} the text that a reader sees, and how many characters it lacks
 */
export const visibleText = (code) => {
  const whole = code.textContent ?? "";
  const text = whole.replace(HIDDEN, "");
  return [text, whole.length - text.length];
};

/**
 * @param {string} text
 * @param {Node} shown
 * @returns {Promise<boolean>} whether the clipboard has it; if not, what is shown is selected
 */
const writeToClipboard = async (text, shown) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(shown); // plain http has no clipboard: use the older way
  }
  /** @param {ClipboardEvent} event */
  const take = (event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", take);
  const isDone = document.execCommand("copy");
  document.removeEventListener("copy", take);
  return isDone;
};

/**
 * Copy a text and say so on the button.
 *
 * @param {HTMLElement} button
 * @param {string} text
 * @param {Node} shown is selected if nothing can be copied
 * @param {number} hidden how many characters the text lacks
 */
export const copy = async (button, text, shown, hidden = 0) => {
  const isDone = await writeToClipboard(text, shown);
  const count = hidden ? `${hidden} hidden character${hidden === 1 ? "" : "s"}` : "";
  const keys = navigator.platform.startsWith("Mac") ? "⌘C" : "Ctrl+C";
  if (isDone) button.title = count && `Copied without ${count}`;
  else button.title = `Not copied. Selected${count && ` with ${count}`}: press ${keys}`;
  say(button.title || "Copied");
  button.classList.remove("groq-copied", "groq-not-copied");
  const name = isDone ? "groq-copied" : "groq-not-copied";
  button.classList.add(name);
  setTimeout(() => button.classList.remove(name), isDone ? COPIED_MS : NOT_COPIED_MS);
};

/** @param {HTMLElement} button of a code block */
export const copyCode = (button) => {
  const code = codeOf(button);
  const [text, hidden] = visibleText(code);
  return copy(button, text, code, hidden);
};

/**
 * @param {string} strong
 * @param {string} rest
 */
export const noteOf = (strong, rest) =>
  '<div style="border-left:3px solid #c77700;padding:3px 10px;margin:6px 0">' +
  `<b>${strong}</b> ${rest}</div>`;

/**
 * A live answer as it stands, as an output.
 *
 * @param {HTMLElement} root
 */
export const outputOf = (root, note = "") => {
  const copied = /** @type {HTMLElement} */ (root.cloneNode(true));
  copied.removeAttribute("data-state");
  for (const node of copied.querySelectorAll(".jp-RenderedHTMLCommon"))
    node.classList.remove("jp-RenderedHTMLCommon"); // as static.py explains
  copied.classList.remove("groq-ends-below");
  for (const node of copied.querySelectorAll(LIVE_ONLY)) node.remove();
  for (const bar of copied.querySelectorAll(".groq-bar")) bar.replaceWith(...bar.childNodes);
  for (const formula of /** @type {NodeListOf<HTMLElement>} */ (
    copied.querySelectorAll("[data-source]")
  )) {
    formula.textContent = formula.dataset.source ?? "";
    formula.removeAttribute("data-source");
  }
  for (const details of copied.querySelectorAll("details")) details.removeAttribute("open");
  const style = "max-height:20em;overflow:auto";
  copied.querySelector(".groq-reasoning")?.setAttribute("style", style);
  copied.insertAdjacentHTML("beforeend", note);
  const html = copied.outerHTML.replace(/\n(?=[ \t]*\n)/g, "&#10;"); // as static.py does
  const text = copied.querySelector(".groq-text")?.textContent ?? "";
  return {
    output_type: "display_data",
    data: { "text/html": html, "text/plain": text },
  };
};
