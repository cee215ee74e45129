"""The command line: searching over a project that has a LightningCLI, and reading what searches found."""
