"""Passes that see a few gates at a time, in numpy alone, and what they share."""
