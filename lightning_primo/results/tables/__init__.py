"""Tables of trials: as data, as files, as text, as HTML."""
