"""A local page on which a recording is dropped, seen and asked about."""
