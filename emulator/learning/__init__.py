"""Fitting networks to teachers, and using what was fitted."""
