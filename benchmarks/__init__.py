"""Measure the product against a floor in the same run. ``python -m benchmarks [name…]``; results as ratios."""
