"""The contrast of text and controls: https://www.w3.org/TR/WCAG22/#contrast-minimum."""

from __future__ import annotations

from playwright.sync_api import Locator

MEASURE = """\
(root, skipped) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  };
  const over = ([r, g, b, a], below, opacity = 1) =>
    [r, g, b].map((c, i) => below[i] + (c - below[i]) * (a / 255) * opacity);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) =>
      c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const above = (node) => node ? [...above(node.parentElement), node] : [];
  const background = (node) => above(node).reduce((below, one) =>
    over(rgba(getComputedStyle(one).backgroundColor), below), [255, 255, 255]);
  const opacity = (node) => above(node).reduce((product, one) =>
    product * getComputedStyle(one).opacity, 1);
  const found = [];
  const measure = (what, node, colour, least, behind = node) => {
    const below = background(behind);
    const shown = over(rgba(colour), below, opacity(node));
    found.push([what, Math.round(100 * ratio(shown, below)) / 100, least]);
  };
  for (const one of root.querySelectorAll(".groq-buttons")) one.style.opacity = 1;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.data.trim();
    const node = walker.currentNode.parentElement;
    if (!words || !node.checkVisibility() || node.closest(skipped)) continue;
    measure(words, node, getComputedStyle(node).color, words === "●" ? 3 : 4.5);
  }
  for (const button of root.querySelectorAll("button")) {
    if (!button.checkVisibility()) continue;
    const { color, borderTopColor } = getComputedStyle(button);
    const name = button.dataset.label ?? button.textContent;
    measure(`button ${name}`, button, color, 4.5);
    measure(`border of ${name}`, button, borderTopColor, 3, button.parentElement);
  }
  return found;
}
"""


def measured(answers: list[Locator], skipped: str = "pre, mjx-container") -> list[list[object]]:
    """What is measured, with its contrast and the least that it needs; none is too faint."""
    found = [one for answer in answers for one in answer.evaluate(MEASURE, skipped)]
    assert [one for one in found if one[1] < one[2]] == []
    return found
