"""Capture: a function's work recorded once and replayed with no Python per op (`rushlight.compile`)."""
