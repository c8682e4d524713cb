"""What is asked: one entry per clinical task, with question wordings, answer text, parser and score."""
