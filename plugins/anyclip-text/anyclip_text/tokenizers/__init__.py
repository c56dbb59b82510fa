"""Tokenizers: text -> ids, without their own truncation and padding, which the processor does for all alike."""

from anyclip_text.tokenizers.base import TextTokenizer
from anyclip_text.tokenizers.byte import ByteTokenizer
from anyclip_text.tokenizers.clip_bpe import ClipBPETokenizer
from anyclip_text.tokenizers.create import create_tokenizer, saved_tokenizer
from anyclip_text.tokenizers.fast import FolderTokenizer

__all__ = [
    "ByteTokenizer",
    "ClipBPETokenizer",
    "FolderTokenizer",
    "TextTokenizer",
    "create_tokenizer",
    "saved_tokenizer",
]
