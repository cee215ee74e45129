"""What a search file says, and what it comes to."""
