"""From the journal to MLflow: a thread per sink, batches, retries, and what was delivered already."""
