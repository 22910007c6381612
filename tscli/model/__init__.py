"""A Hugging Face decoder and the one seam into it: its attention is replaced by TokenSelect over paged keys and values."""
