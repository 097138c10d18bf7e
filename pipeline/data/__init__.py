"""The user's data: sources, readers of their files, and the split into a training and a test part."""
