"""Everything that turns a snapshot and training rows into forecasts; it sees nothing else."""
