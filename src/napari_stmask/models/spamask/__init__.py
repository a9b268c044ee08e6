"""SpaMask: domains by a dual-masking graph autoencoder."""
