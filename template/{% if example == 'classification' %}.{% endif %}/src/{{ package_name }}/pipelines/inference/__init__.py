"""Inference: instances in, predictions out."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
