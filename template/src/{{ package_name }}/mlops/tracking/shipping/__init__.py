"""From the journal to MLflow: a thread a sink, batches, retries, and what was delivered."""
