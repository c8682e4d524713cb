"""From token records to packed batches of interleaved text and motion."""
