"""One rendered project, with an environment of its own, as its user runs it."""
