"""The text modality of anyclip."""
