"""Point clouds for anyclip: files, processor, operations, towers."""
