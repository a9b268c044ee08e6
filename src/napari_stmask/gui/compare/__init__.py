"""The dock *Compare*: two labelings of one section."""
