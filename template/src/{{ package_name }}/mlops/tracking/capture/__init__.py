"""What of a Kedro event is worth keeping: one module a kind of thing."""
