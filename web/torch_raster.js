// @ts-check
/** Torch Rasterizer in ComfyUI's frontend. Nothing here is needed for the nodes to run. */
import { app } from "../../scripts/app.js";
import { addBackendPanel } from "./nodes/backend_info.js";
import { addCameraPicture } from "./nodes/camera_views.js";
import { addFolder } from "./nodes/folder.js";
import { addInspector } from "./nodes/inspector.js";
import { addPictureLabels, followCameras } from "./nodes/picture_labels.js";
import { addUpload } from "./nodes/upload.js";
import { loadStyle } from "./lib/dom.js";
import { followTexts } from "./lib/node_text.js";
import { followCache, repeatOutput } from "./lib/output.js";

/** @type {Map<string | undefined, (node: Comfy.Node) => void>} */
const PARTS = new Map([
  ["TorchRasterLoadMesh", (node) => (addFolder(node), addUpload(node))],
  ["TorchRasterRasterize", addInspector],
  ["TorchRasterInterpolate", addInspector],
  ["TorchRasterBackendInfo", addBackendPanel],
  ["TorchRasterCameras", (node) => addCameraPicture(node, followCameras)],
  ["TorchRasterPicturesToViews", addPictureLabels],
]);

const style = loadStyle(); // asked for now, beside the other modules

app.registerExtension({
  name: "TorchRasterizer",

  /** No node is made before this ends: the first panel is measured with its style. */
  init: () => style,

  setup() {
    followCache();
    followTexts();
  },

  nodeCreated(node) {
    const add = PARTS.get(node.comfyClass);
    if (!add) return;
    try {
      add(node);
    } catch (error) {
      // A frontend that works otherwise must not lose the node itself.
      console.error("Torch Rasterizer:", error);
    }
  },

  /** Another tab's workflow, or the same one again: the nodes are new, their last outputs are not. */
  loadedGraphNode(node) {
    if (PARTS.has(node.comfyClass)) repeatOutput(node);
  },
});
