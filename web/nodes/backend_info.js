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
    root.replaceChildren(copyBar(report), element("div", { class: "scroll" }, ...sections(report)));
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

/** The report's lines as tables; what is not recognised stays text, so nothing is ever lost. */
function sections(report) {
  const made = [], plain = [];
  let rows = null;
  for (const line of report.split("\n")) {
    const item = /^ {2}(\S+)(?: \((.*?)\))?: (.*)$/.exec(line); // "  torch (PyTorch operators): in use"
    const pair = /^(Device|Arithmetic|Self-test): (.*)$/.exec(line);
    const title = { "Backends:": "backends", "Modules for Hunyuan3D's packs:": "modules" }[line];
    if (title) {
      rows = element("table");
      made.push(element("b", { textContent: text(title) }), rows);
    } else if (item && rows) {
      rows.append(row(item[1], item[3], item[2]));
    } else if (pair) {
      rows = element("table");
      made.push(rows);
      rows.append(row(pair[1], pair[2]));
    } else if (made.length < 2 && line) {
      made.push(element("div", { textContent: line }));
    } else if (line) {
      plain.push(line);
    }
  }
  if (plain.length) made.push(element("pre", { textContent: plain.join("\n") }));
  return made;
}

function row(name, content, note = "") {
  const cell = element("td", { title: note }, ...mark(content), name);
  return element("tr", {}, cell, element("td", { textContent: content }));
}

function mark(content) {
  const count = /^(\d+) of (\d+) checks passed/.exec(content);
  const state = count
    ? count[1] === count[2] ? "good" : "bad"
    : /^(in use|ours|native)\b/.test(content) ? "good"
    : /^available\b/.test(content) ? "fair"
    : /^off\b/.test(content) ? "off"
    : /pixels show another|differ|error/i.test(content) ? "bad" : "";
  return state ? [element("span", { class: `dot ${state}` })] : [];
}
