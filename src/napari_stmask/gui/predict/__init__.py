"""The dock *Predict genes*: expression of a section from its histology and measured sections."""
