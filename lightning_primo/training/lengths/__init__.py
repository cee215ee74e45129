"""How a Trainer trains to a length, in each of the units that lengths are counted in."""
