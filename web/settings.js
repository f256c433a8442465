// @ts-check
import { app } from "../../scripts/app.js";

// Read by rasterizer/dropin/finder.py when a module of Hunyuan3D is imported.
app.registerExtension({
  name: "TorchRasterizer.Settings",
  settings: [
    {
      id: "TorchRasterizer.DropIn",
      category: ["Torch Rasterizer", "Hunyuan3D's packs", "Modules"],
      name: "Give them custom_rasterizer and mesh_inpaint_processor",
      tooltip:
        "auto: this pack's where none is installed that works. force: this pack's always. off: never. " +
        "After the next start of ComfyUI; the environment variable TORCH_RASTERIZER_DROPIN goes before this.",
      type: "combo",
      options: ["auto", "force", "off"],
      defaultValue: "auto",
    },
  ],
});
