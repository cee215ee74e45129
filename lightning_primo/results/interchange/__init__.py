"""What a search has found, for other people's tools and from them; each library is imported where it is used."""
