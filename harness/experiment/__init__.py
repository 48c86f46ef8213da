"""Experiment files: TOML in, frozen and resolved objects out, every problem of a file reported at once."""

from harness.experiment.keys import KEYS, SCHEMA
from harness.experiment.load import experiment_file, load_experiment, validate
from harness.experiment.models import completed

__all__ = ["KEYS", "SCHEMA", "completed", "experiment_file", "load_experiment", "validate"]
