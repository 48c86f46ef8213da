"""Declared cleaning: what changes between a source's file and its values, step by step, and what each step touched."""
