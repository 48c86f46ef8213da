"""Values as they were published: the archive, its replay, reporting lags, calendars, datasets, outcomes."""
