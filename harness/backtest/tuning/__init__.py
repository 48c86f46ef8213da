"""Tuning inside each training window: inner folds, the search, its record; the only place that knows Optuna."""
