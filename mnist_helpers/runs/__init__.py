"""A training run on disk and while it goes on: its folder, its moments, its curves."""
