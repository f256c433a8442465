// @ts-check
import { app } from "../../scripts/app.js";

// Read by rasterizer/dropin/finder.py when one of these modules is imported.
app.registerExtension({
  name: "TorchRasterizer.Settings",
  settings: [
    {
      id: "TorchRasterizer.DropIn",
      category: ["Torch Rasterizer", "Other packs", "Modules"],
      name: "Give them custom_rasterizer, mesh_inpaint_processor and nvdiffrast",
      tooltip:
        "auto: this pack's where none is installed that works. force: this pack's always. off: never. " +
        "After the next start of ComfyUI; the environment variable TORCH_RASTERIZER_DROPIN goes before this.",
      type: "combo",
      options: ["auto", "force", "off"],
      defaultValue: "auto",
    },
  ],
});
