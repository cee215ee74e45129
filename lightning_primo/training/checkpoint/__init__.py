"""The checkpoint of a trial: written, read, claimed, kept."""
