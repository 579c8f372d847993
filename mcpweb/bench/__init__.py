"""Test runs: the run child in which test types execute, and the worker's side of it."""
