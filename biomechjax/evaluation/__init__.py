"""Answers, metrics, baselines and the table."""
