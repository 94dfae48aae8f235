"""Benchmarks: busfn and its peers, measured in one run. `python -m bench --help`; see README.md beside this file."""
