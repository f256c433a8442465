"""What is ComfyUI's: its versions, devices, values and meshes."""
