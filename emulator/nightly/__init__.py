"""From predictions to the published sink map: assembly, budgets, files."""
