"""The audio modality of anyclip."""
