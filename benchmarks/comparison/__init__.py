"""The same problems for our algorithms and for other optimisers; the command is `benchmarks.peers`."""
