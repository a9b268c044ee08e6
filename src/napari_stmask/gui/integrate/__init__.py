"""The dock *Integrate sections*: several sections as one run."""
