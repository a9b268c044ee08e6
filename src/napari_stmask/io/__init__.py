"""Files in and out: recognise and read a path, write a section, download-free samples.

Each module imports its heavy libraries when a function needs them, so that asking whether a
path can be read stays cheap.
"""
