"""Training: patients in; a fitted preparation, a regressor and its evaluation out."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
