"""Capture: a function's work recorded once and replayed with no Python per op (`torch.compile`).

`guards.py` knows what a function reads and whether it is still the same; `captured.py` records and replays; `compiled.py` is the
public side.
"""
