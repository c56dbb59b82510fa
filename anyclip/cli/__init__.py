"""The `anyclip` command; each sub-command is a lazily imported module."""
