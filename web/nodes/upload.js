// @ts-check
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { element } from "../lib/dom.js";
import { text } from "../lib/text.js";
import { NO_FOLDER } from "./folder.js";

const MESHES = [".glb", ".gltf", ".obj", ".stl", ".ply", ".off"];
const COMPANIONS = [".bin", ".mtl", ".png", ".jpg", ".jpeg", ".webp"]; // which GLTF and OBJ refer to
// 3D files that are not read: ComfyUI would lay a Load 3D on top of the node, and nothing would say why.
const SPLATS = [".splat", ".spz", ".ksplat", ".sog"];
const OTHERS = [
  ...[".fbx", ".blend", ".dae", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".3ds", ".x3d", ".3mf", ".max", ".ma", ".mb"],
  ...[".step", ".stp", ".iges", ".igs"],
  ...SPLATS,
];
const SUBFOLDER = "3d";

// From here on the list of files itself has an upload button with Nodes 2.0, as its input's marks ask for.
const [MAJOR, MINOR] = [1, 40];

/**
 * An upload button on Load Mesh, and files dropped on it.
 * @param {Comfy.Node} node
 */
export function addUpload(node) {
  const button = node.addWidget("button", "upload", null, () => choose(node), {
    serialize: false,
    canvasOnly: frontendUploads(),
  });
  button.label = text("upload");
  button.serialize = false;

  // Both renderers ask these two of the node itself.
  const over = node.onDragOver;
  node.onDragOver = function (event) {
    return [...(event.dataTransfer?.types ?? [])].includes("Files") || over?.call(this, event) || false;
  };
  const drop = node.onDragDrop;
  node.onDragDrop = function (event) {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.some((file) => isMesh(file) || ends(file, OTHERS))) return drop?.call(this, event) ?? false;
    upload(node, files);
    return true;
  };
}

function frontendUploads() {
  const [major, minor] = String(window.__COMFYUI_FRONTEND_VERSION__ ?? "").split(".").map(Number);
  return major > MAJOR || (major === MAJOR && minor >= MINOR);
}

/** @param {File} file */
function isMesh(file) {
  return ends(file, MESHES);
}

/**
 * @param {File} file
 * @param {string[]} suffixes
 */
function ends({ name }, suffixes) {
  return suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
}

/** @param {Comfy.Node} node */
function choose(node) {
  const input = element("input", { type: "file", multiple: true, accept: [...MESHES, ...COMPANIONS].join(",") });
  input.onchange = () => upload(node, [...(input.files ?? [])]);
  input.click();
}

/**
 * Uploads the files and chooses the first mesh of them.
 * @param {Comfy.Node} node
 * @param {File[]} files
 */
async function upload(node, files) {
  const mesh = files.find(isMesh), other = files.find((file) => ends(file, OTHERS));
  if (!mesh && other) {
    const cure = text(ends(other, SPLATS) ? "splat" : "convert");
    return complain(`${other.name}: ${text("notRead")} ${MESHES.join(" ")}. ${cure}`);
  }
  if (!mesh) return complain(`${text("noMesh")} ${MESHES.join(" ")}`);
  let chosen = "";
  for (const file of files) {
    try {
      const value = await send(file);
      if (file === mesh) chosen = value;
    } catch (error) {
      return complain(`${file.name}: ${text("uploadFailed")}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const combo = node.widgets?.find(({ name }) => name === "mesh_file");
  if (!combo) return;
  const { values } = combo.options;
  if (Array.isArray(values) && !values.includes(chosen)) {
    combo.options.values = [...values, chosen]; // a new list: the old one may belong to other nodes, too
  }
  combo.value = chosen;
  combo.callback?.(chosen);
  const folder = node.widgets?.find(({ name }) => name === "folder");
  if (folder && folder.value !== NO_FOLDER) { // which would be loaded from instead
    folder.value = NO_FOLDER;
    folder.callback?.(NO_FOLDER);
  }
  node.graph?.setDirtyCanvas(true, true);
}

/**
 * @param {File} file
 * @returns {Promise<string>} its name for the node
 */
async function send(file) {
  const body = new FormData();
  body.append("image", file); // what ComfyUI's upload calls any file
  body.append("type", "input");
  body.append("subfolder", SUBFOLDER);
  const response = await api.fetchApi("/upload/image", { method: "POST", body });
  if (response.status === 413) throw new Error(text("tooLarge"));
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const { name, subfolder } = await response.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

/** @param {string} detail */
function complain(detail) {
  app.extensionManager?.toast?.add({ severity: "error", summary: text("uploadTitle"), detail, life: 12000 });
}
