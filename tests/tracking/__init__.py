"""The hook's modules, each on its own: the rendered package is real Python and imports as it is."""
