"""The video modality of anyclip."""
