"""The sealed holdout: sealed, planned, opened once, rolled on."""
