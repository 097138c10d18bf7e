"""Secrets that tests put into the environment."""

LEAKED = "s3cret-Pa55word"
VALUE = "vQ7+tR/2xK9wL4"
QUOTED_VALUE = "vQ7%2BtR%2F2xK9wL4"  # in a URI
