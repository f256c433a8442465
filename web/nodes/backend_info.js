// @ts-check
import { addPanel, copyText, element, scrolling } from "../lib/dom.js";
import { onOutput } from "../lib/output.js";
import { text } from "../lib/text.js";

const EMPTY_HEIGHT = 24;
const HEIGHT = 320;

/**
 * What nodes/info.py says besides the text.
 * @typedef {object} Report
 * @property {string[]} lines
 * @property {{title: import("../lib/text.js").TextKey | "", rows: Row[]}[]} tables
 * @property {string} text shown as it is
 */

/** @typedef {{name: string, text: string, state: "" | "good" | "fair" | "off" | "bad", note: string}} Row */

/**
 * The report of Backend Info as a panel.
 * @param {Comfy.Node} node
 */
export function addBackendPanel(node) {
  let filled = false;
  const { root, grow } = addPanel(node, "report", () => (filled ? HEIGHT : EMPTY_HEIGHT));
  root.classList.add("backend-info");
  root.append(element("div", { class: "quiet", textContent: text("runForReport") }));
  onOutput(node, (output) => {
    const report = [output.text].flat().join("");
    if (!report) return;
    const first = !filled;
    filled = true;
    /** @type {Report | undefined} */
    const data = output.torch_raster_report?.[0];
    // A run of an older version of the pack left nothing but the text.
    const shown = data ? sections(data) : [element("pre", { textContent: report })];
    root.replaceChildren(copyBar(report), scrolling("scroll", ...shown));
    if (first) grow(340);
  });
}

/** @param {string} report */
function copyBar(report) {
  const button = element("button", { type: "button", textContent: text("copy") });
  button.onclick = async () => {
    button.textContent = text((await copyText(report)) ? "copied" : "notCopied");
    setTimeout(() => (button.textContent = text("copy")), 1500);
  };
  return element("div", { class: "bar" }, button);
}

/** @param {Report} report */
function sections({ lines, tables, text: plain }) {
  /** @type {HTMLElement[]} */
  const made = lines.map((line) => element("div", { textContent: line }));
  for (const { title, rows } of tables) {
    if (title) made.push(element("b", { textContent: text(title) }));
    made.push(element("table", {}, ...rows.map(row)));
  }
  if (plain) made.push(element("pre", { textContent: plain }));
  return made;
}

/** @param {Row} row */
function row({ name, text: content, state, note }) {
  const mark = state ? [element("span", { class: `dot ${state}` })] : [];
  return element("tr", {}, element("td", { title: note }, ...mark, name), element("td", { textContent: content }));
}
