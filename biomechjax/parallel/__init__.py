"""Sharding strategies as small tables."""
