"""The pipelines of this project, and the schemas of their data."""
