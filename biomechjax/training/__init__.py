"""Step, state, loop and checkpoints, shared by the tokenizer and the decoder."""
