"""Version of the package; ``pyproject.toml`` reads the same (a test compares them)."""

__version__ = "0.1.0"
