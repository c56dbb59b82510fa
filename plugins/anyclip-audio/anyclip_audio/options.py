"""Options of the audio towers (torch-free)."""
