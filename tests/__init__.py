"""Tests mirror `src`; `contracts` has one suite per port, `architecture` checks the house, `e2e` runs real processes."""
