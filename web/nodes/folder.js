// @ts-check
import { greyOut, isLinked } from "../lib/grey_out.js";

const NO_FOLDER = "no folder"; // as nodes/host/mesh_files.py calls it

/**
 * Load Mesh on a folder: each run takes the next mesh; without one, the index stays, since each change of it would have
 * the node, and all behind it, run again.
 * @param {Comfy.Node} node
 */
export function addFolder(node) {
  /** @param {string} name */
  const find = (name) => node.widgets?.find((widget) => widget.name === name);
  const folder = find("folder");
  const control = find("index")?.linkedWidgets?.[0];
  if (!folder) return;
  if (control) control.value = "fixed"; // the frontend's own is random
  let before = folder.value;

  const show = () => {
    const linked = isLinked(node, "folder");
    const given = isLinked(node, "model_3d");
    const none = !linked && folder.value === NO_FOLDER;
    greyOut(node, (name) => {
      if (name === "mesh_file") return given || (!linked && !none);
      if (name === "folder") return given;
      return name === "index" && (given || none); // what comes after a run follows it by itself
    });
  };
  const { callback } = folder;
  folder.callback = function (...values) {
    const result = callback?.apply(this, values);
    if (control && (before === NO_FOLDER) !== (folder.value === NO_FOLDER)) {
      control.value = folder.value === NO_FOLDER ? "fixed" : "increment";
    }
    before = folder.value;
    show();
    return result;
  };
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...values) {
    onConfigure?.apply(this, values);
    before = folder.value;
    show();
  };
  node.onConnectionsChange = function (...values) {
    onConnectionsChange?.apply(this, values);
    show();
  };
  show();
}
