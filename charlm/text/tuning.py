"""Tuning constants of reading, splitting and batching texts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextTuning:
    """Sizes that determine speed and memory, rates of held-out, unknown and masked tokens, and what a list is."""

    bytes_per_read: int = 1 << 20
    """Bytes that are read from a file at a time."""
    max_bytes_in_memory: int = 32 << 20
    """Bytes of ids that are kept in memory; more go to a temporary file."""
    ids_per_chunk: int = 1 << 20
    """Ids that are processed at a time."""
    max_blocks: int = 50
    """Maximum number of held-out blocks that are spread over a running text."""
    min_blocks: int = 10
    """Minimum number of such blocks; a text that is too short for them holds out its end."""
    min_block_tokens: int = 500
    """Minimum length of a held-out block in tokens."""
    min_tokens_to_drop_rare: int = 10_000
    """Length of the training text in tokens from which tokens seen once become UNK by default."""
    max_unknown_rate: float = 0.01
    """Maximum fraction of the training tokens that is replaced by UNK, so that UNK is learned."""
    max_pair_length: int = 500
    """Maximum length of the source and of the target of a pair."""
    windows_per_pool: int = 32
    """Windows whose pairs are sorted by length."""
    pairs_per_part: int = 1024
    """Pairs that are numbered at a time."""
    masked_streams: float = 0.5
    """Fraction of the streams of a bidirectional window that have masked tokens."""
    max_masked_rate: float = 0.3
    """Maximum fraction of masked tokens in such a stream."""
    list_ids: int = 100_000
    """Ids at the start of a text that decide whether it is a list of names or words."""
    max_item_characters: int = 32
    """Maximum length of an item of a list in characters."""
    max_item_words: int = 3
    """Maximum length of an item of a list in words."""
    min_items: int = 20
    """Minimum number of items of a list."""
    min_item_rate: float = 0.95
    """Minimum fraction of the lines of a list that are items."""
    windows_per_release: int = 512
    """Windows after which the memory of a mapped corpus is returned to the operating system."""
    copy_block_characters: int = 1 << 17
    """Characters of a text that are searched for in other texts at once."""
    copy_chunk_characters: int = 1 << 20
    """Characters of another text that are searched at once."""
    max_copy_pairs: int = 1 << 22
    """Pairs of equal n-grams that are compared at once."""


DEFAULT_TUNING = TextTuning()
