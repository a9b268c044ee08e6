"""ViMST: domains and denoised genes from expression and histology."""
