"""The hinge loss of VSE++ for anyclip."""
