"""SpaHGC: gene expression predicted from histology across sections."""
