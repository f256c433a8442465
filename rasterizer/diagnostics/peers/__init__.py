"""Other people's programs, to compare with where they are installed."""
