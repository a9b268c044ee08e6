"""Torch parts that methods share: propagation, masks, losses, tiles and the training loop."""
