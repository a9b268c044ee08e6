"""Numbers that models eat: expression features, graphs, patches."""
