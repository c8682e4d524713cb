"""Movement to tokens and back: convolutional encoder and decoder, quantizer, losses, metrics."""
