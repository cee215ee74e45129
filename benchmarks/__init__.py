"""Speed and search quality, each figure reproducible by one command with `--help`."""
