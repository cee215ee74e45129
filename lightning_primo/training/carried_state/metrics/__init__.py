"""What metrics have seen when a training is promoted."""
