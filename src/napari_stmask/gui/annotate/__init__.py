"""The dock *Annotate*: regions that are drawn or imported, as columns of the spots."""
