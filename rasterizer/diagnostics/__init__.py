"""What the pack says of itself: the backend report, the self-test, speed and quality."""
