// @ts-check
import { element } from "./dom.js";
import { text } from "./text.js";

/**
 * Shows a panel's content over the whole window, where it works as before, until somebody closes it.
 * @param {HTMLElement} root of the panel
 * @param {HTMLButtonElement} button in it that was pressed, and now closes
 */
export function fillWindow(root, button) {
  const open = button.closest("dialog");
  if (open) {
    open.close();
    return;
  }
  const dialog = element("dialog", { class: `${root.className} full` }, ...root.childNodes);
  const shown = button.textContent;
  button.textContent = text("close");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the content
  });
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation(); // it is not meant for the graph behind
    if (event.key === "Escape") dialog.close(); // some frontends keep browsers from doing so
  });
  dialog.addEventListener("close", () => {
    button.textContent = shown;
    root.replaceChildren(...dialog.childNodes);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Has the browser save a picture.
 * @param {ImageData} image
 * @param {string} name without its ending
 */
export function savePicture(image, name) {
  const canvas = element("canvas", { width: image.width, height: image.height });
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  canvas.toBlob((blob) => {
    if (!blob) return;
    const href = URL.createObjectURL(blob);
    element("a", { href, download: `${name}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  });
}
