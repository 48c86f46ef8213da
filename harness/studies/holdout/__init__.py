"""The sealed holdout: sealed before, opened once for a claim made beforehand, with a record that shows for ever."""
