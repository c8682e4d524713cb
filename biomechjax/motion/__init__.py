"""What a movement is: formats, recordings, invertible features, file readers."""
