"""Pictures: files, colours, look-ups."""
