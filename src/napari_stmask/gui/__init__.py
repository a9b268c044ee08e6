"""The face of the package in napari: docks, layers, readers. Nothing below imports from here."""
