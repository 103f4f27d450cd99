"""Sweeps over recipes: the space, the search, the trials."""
