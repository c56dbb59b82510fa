"""Text for anyclip: towers that wrap open_clip and transformers, tokenizers, captions of synthetic scenes."""
