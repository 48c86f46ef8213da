"""Walk forward: the plan, the runner and its workers."""
