"""What a new algorithm is tried on: toy problems with known answers, and a conformance suite to inherit."""
