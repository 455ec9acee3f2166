"""The pipelines of this project, and the preparation and schemas they share."""
