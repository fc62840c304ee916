"""Emulate the natural carbon sinks: train on process models, run on recent climate."""
