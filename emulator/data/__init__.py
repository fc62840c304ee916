"""From files of process models to training stores."""
