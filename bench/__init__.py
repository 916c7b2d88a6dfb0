"""Benchmarks and acceptance runs. Figures are ratios, side by side in one run: machines are noisy."""
