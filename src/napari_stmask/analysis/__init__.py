"""Pure functions on arrays for the output of any method."""
