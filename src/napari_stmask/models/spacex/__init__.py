"""SpaCEX (SIGEL): vectors of genes from their pictures, and what follows from them."""
