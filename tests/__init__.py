"""Tests mirror `src`; `contracts` has a suite per port, `architecture` checks the house, `e2e` runs real processes."""
