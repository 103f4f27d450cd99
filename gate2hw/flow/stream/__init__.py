"""Builds of the streamed architecture: planning, prediction, emission."""
