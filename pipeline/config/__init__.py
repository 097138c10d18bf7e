"""What conf/ and overrides say, checked: the schema of each group, and Hydra, which composes them."""
