"""What a promoted trial goes on with that Lightning does not keep: numbers, metrics, buffers, sums of an open epoch."""
