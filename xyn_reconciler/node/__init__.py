"""Wire: open the stores, start the loops, stop them in reverse."""
