"""What the decoder is held against: other models of the same questions, fitted on the same training participants."""
