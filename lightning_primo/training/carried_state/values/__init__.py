"""Values in attributes, as a checkpoint has them and as they are put back."""
