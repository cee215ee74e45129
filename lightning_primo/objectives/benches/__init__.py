"""Where costs are measured: here or on another device, in a runtime, and once for all who have the same network."""
