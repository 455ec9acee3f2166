"""Training: records in; a model and its evaluation out."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
