"""The Gemma-style decoder, its vocabulary of words and movement codes, and generation."""

import os

# Otherwise transformers says at every start that PyTorch is missing; configurations and tokenizers do without.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
