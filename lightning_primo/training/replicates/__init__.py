"""Trials that are trained several times, with other seeds or on other folds."""
