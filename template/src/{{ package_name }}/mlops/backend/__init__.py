"""Access to MLflow: servers, databases, credentials, and what each needs to be installed."""
