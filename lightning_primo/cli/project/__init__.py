"""A project that has a LightningCLI: its script, its config, and what they make of a trial's values."""
