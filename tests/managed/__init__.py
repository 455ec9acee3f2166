"""Stand-ins of managed services: their real client libraries, and a front before an open MLflow."""
