"""The dock *Plots*: map of the spots linked with the tissue, violins, losses, domain graph."""
