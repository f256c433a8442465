"""Where and how work runs: devices, threads, memory, files, names."""
