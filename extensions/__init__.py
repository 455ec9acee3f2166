"""Pure functions that copier.yml and the template files call; copier loads each file alone."""
