"""Colours for what no view shows."""
