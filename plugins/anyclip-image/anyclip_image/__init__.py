"""The image modality of anyclip."""
