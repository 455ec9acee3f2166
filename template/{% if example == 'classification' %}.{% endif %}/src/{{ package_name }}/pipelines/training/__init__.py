"""Training: records in; a fitted preparation, a model and its evaluation out."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
