"""What training leaves, and what predicts with it."""
