"""The Gemma-style decoder, its vocabulary of words and movement codes, and generation."""
