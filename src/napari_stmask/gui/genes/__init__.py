"""The dock *Gene modules*: what SpaCEX says about the genes of a section."""
