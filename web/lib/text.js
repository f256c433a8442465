// @ts-check
import { app } from "../../../scripts/app.js";

/** What the panels say. Names and tooltips of nodes, inputs and outputs are in `locales/`. */
const ENGLISH = {
  upload: "upload mesh",
  uploadTitle: "Torch Rasterizer",
  noMesh: "no mesh file among them; expected",
  notRead: "this format is not read, only",
  convert: "Open it in Blender or the program it comes from and export it as glTF 2.0 with the format GLB.",
  splat: "It holds points without a surface; make a mesh of them first.",
  uploadFailed: "could not be uploaded",
  tooLarge: "it is larger than the server accepts (ComfyUI's option --max-upload-size)",
  runToInspect: "Run the workflow to inspect the result here.",
  unreadable: "The pictures of this run are gone or could not be read; run again.",
  hover: "Point at a pixel to read it, click to pin it.",
  ids: "face ids",
  depth: "depth",
  mask: "mask",
  weights: "barycentrics",
  value: "image",
  show: "Show another quantity",
  full: "full size",
  fullTitle: "Over the whole window, and back (Escape)",
  close: "close",
  save: "save",
  saveTitle: "Save this picture",
  mesh: "mesh",
  view: "view",
  layer: "layer",
  pixel: "pixel",
  pinned: "pinned",
  face: "face",
  background: "background",
  of: "of",
  everyPixel: "every {n}. pixel is kept",
  fewerPictures: "{n} of {m} pictures are kept",
  copy: "copy report",
  copied: "copied",
  notCopied: "copying is not allowed here",
  runForReport: "Run the workflow: the report appears here.",
  backends: "Backends",
  modules: "Modules for other packs",
  inUse: "in use",
  front: "front",
  right: "right",
  back: "back",
  left: "left",
  top: "top",
  bottom: "bottom",
  added: "added",
  cameras: "cameras",
  ofThemAdded: "{n} of them added",
  upToMore: "up to {n} more when it runs",
  noCameras: "azimuths, elevations and weights: numbers, as many of each",
};

/** @typedef {keyof typeof ENGLISH} TextKey */

/** @type {Record<TextKey, string>} */
const CHINESE = {
  upload: "上传网格",
  uploadTitle: "Torch Rasterizer",
  noMesh: "其中没有网格文件；支持",
  notRead: "不支持这种格式，只支持",
  convert: "请在 Blender 或原软件中打开，导出为 glTF 2.0，格式选 GLB。",
  splat: "其中只有没有表面的点，请先转换为网格。",
  uploadFailed: "上传失败",
  tooLarge: "文件超过服务器上限（ComfyUI 选项 --max-upload-size）",
  runToInspect: "运行工作流后，可在此查看结果。",
  unreadable: "本次运行的图片已不存在或无法读取，请重新运行。",
  hover: "指向像素即可读取，单击可固定。",
  ids: "面编号",
  depth: "深度",
  mask: "遮罩",
  weights: "重心坐标",
  value: "图像",
  show: "切换显示内容",
  full: "放大",
  fullTitle: "放大到整个窗口，按 Escape 返回",
  close: "关闭",
  save: "保存",
  saveTitle: "保存此图片",
  mesh: "网格",
  view: "视图",
  layer: "层",
  pixel: "像素",
  pinned: "已固定",
  face: "面",
  background: "背景",
  of: "共",
  everyPixel: "每 {n} 个像素保留一个",
  fewerPictures: "保留了 {m} 张图中的 {n} 张",
  copy: "复制报告",
  copied: "已复制",
  notCopied: "此处不允许复制",
  runForReport: "运行工作流后，报告显示在此处。",
  backends: "后端",
  modules: "供其他节点包使用的模块",
  inUse: "使用中",
  front: "正面",
  right: "右侧",
  back: "背面",
  left: "左侧",
  top: "顶部",
  bottom: "底部",
  added: "补充",
  cameras: "个相机",
  ofThemAdded: "其中 {n} 个为补充",
  upToMore: "运行时最多再增加 {n} 个",
  noCameras: "方位角、仰角和权重须为数量相同的数字",
};

/**
 * A text in the language of the frontend.
 * @param {TextKey} key
 * @param {Record<string, string | number>} [values] what stands for `{name}` in it
 * @returns {string}
 */
export function text(key, values = {}) {
  const locale = String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en");
  const found = (locale.startsWith("zh") ? CHINESE : ENGLISH)[key] ?? key; // the server's may be of another version
  return found.replace(/\{(\w+)\}/g, (whole, name) => `${values[name] ?? whole}`);
}
