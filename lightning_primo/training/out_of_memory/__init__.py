"""Training in smaller micro-batches where memory runs out."""
