"""What is measured again of a front when its search has ended: latencies, further seeds, the test data."""
