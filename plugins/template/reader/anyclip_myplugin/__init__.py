"""The reader myreader for anyclip."""
