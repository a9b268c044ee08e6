"""The dock *Explore genes*: one gene, its variants side by side, and gene sets."""
