"""The modules that other packs get; each is named as the compiled one that it stands in for."""
