"""Plain data: what a section, its parameters and a result are."""
