"""Inference: measurements in, predicted progression out."""

from .pipeline import create_pipeline

__all__ = ["create_pipeline"]
