"""The parts of the screen: each is given what it shows, and paints itself."""
