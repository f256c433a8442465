"""Other people's rasterizers, where they are installed, called bare."""
