"""Pages, tables and charts made from records; nothing here runs a model."""
