"""Trained networks as files, for whoever has not got this package."""
