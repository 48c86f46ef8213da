"""Declared assertions: what must hold of a source's values, and what becomes of rows that break it."""
