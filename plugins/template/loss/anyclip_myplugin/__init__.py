"""The loss myloss for anyclip."""
