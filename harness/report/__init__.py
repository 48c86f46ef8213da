"""Pages and tables made from records; nothing here runs a model."""
