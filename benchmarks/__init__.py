"""Measures what the template costs against doing without it; `make bench` runs it."""
