"""The evaluation as one page that a browser opens from disk."""
