"""Arrays in, arrays out: colours, rasters of spots and figures, without any window."""
