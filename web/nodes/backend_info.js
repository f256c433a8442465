import { addPanel, copyText, element } from "../lib/dom.js";
import { onOutput } from "../lib/output.js";
import { text } from "../lib/text.js";

const EMPTY_HEIGHT = 24;
const HEIGHT = 320;

/**
 * The report of Backend Info as a panel.
 * @param {object} node
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
    const data = output.torch_raster_report?.[0];
    // A run of an older version of the pack left nothing but the text.
    const shown = data ? sections(data) : [element("pre", { textContent: report })];
    root.replaceChildren(copyBar(report), element("div", { class: "scroll" }, ...shown));
    if (first) grow(340);
  });
}

function copyBar(report) {
  const button = element("button", { type: "button", textContent: text("copy") });
  button.onclick = async () => {
    button.textContent = text((await copyText(report)) ? "copied" : "notCopied");
    setTimeout(() => (button.textContent = text("copy")), 1500);
  };
  return element("div", { class: "bar" }, button);
}

function sections({ lines, tables, text: plain }) {
  const made = lines.map((line) => element("div", { textContent: line }));
  for (const { title, rows } of tables) {
    if (title) made.push(element("b", { textContent: text(title) }));
    made.push(element("table", {}, ...rows.map(row)));
  }
  if (plain) made.push(element("pre", { textContent: plain }));
  return made;
}

function row({ name, text: content, state, note }) {
  const mark = state ? [element("span", { class: `dot ${state}` })] : [];
  return element("tr", {}, element("td", { title: note }, ...mark, name), element("td", { textContent: content }));
}
