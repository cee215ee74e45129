"""What several algorithms are composed of."""
