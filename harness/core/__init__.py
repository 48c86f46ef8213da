"""The vocabulary every room shares: time, series, transforms, snapshots, recipes, identity, errors; no I/O."""
