// @ts-check
import { greyOut, isLinked } from "../lib/grey_out.js";

export const NO_FOLDER = "no folder"; // as nodes/host/mesh_files.py calls it

/**
 * Load Mesh on a folder: after each run the index counts up. Without a folder it stays, whatever is chosen: a change of
 * it would have the node, and all behind it, run again.
 * @param {Comfy.Node} node
 */
export function addFolder(node) {
  /** @param {string} name */
  const find = (name) => node.widgets?.find((widget) => widget.name === name);
  const folder = find("folder");
  const control = find("index")?.linkedWidgets?.[0];
  if (!folder) return;
  const none = () => folder.value === NO_FOLDER && !isLinked(node, "folder");
  if (control) {
    control.value = "increment"; // the frontend's own is random
    for (const when of /** @type {const} */ (["beforeQueued", "afterQueued"])) {
      const change = control[when];
      control[when] = function (...values) {
        if (!none()) change?.apply(this, values);
      };
    }
  }

  const show = () => {
    const given = isLinked(node, "model_3d");
    greyOut(node, (name) => {
      if (name === "mesh_file") return given || !none();
      if (name === "folder") return given;
      return name === "index" && (given || none());
    });
  };
  const { callback } = folder;
  folder.callback = function (...values) {
    const result = callback?.apply(this, values);
    show();
    return result;
  };
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...values) {
    onConfigure?.apply(this, values);
    show();
  };
  node.onConnectionsChange = function (...values) {
    onConnectionsChange?.apply(this, values);
    show();
  };
  show();
}
